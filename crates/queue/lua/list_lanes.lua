-- One step of going through the lanes of a shard that are open or paused. One of which nothing is known is no longer listed.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time, unused  [2] cursor, 0 at first
-- Returns  { the next cursor, 0 at the end; then sync, seq of each lane }

local step = redis.call('SSCAN', ALIVE, ARGV[2], 'COUNT', 500)
local answer = { step[1] }
for _, sync in ipairs(step[2]) do
  local l = lane(sync)
  if l.alive and l.seq then
    answer[#answer + 1] = sync
    answer[#answer + 1] = int(l.seq)
  else -- what was known of it is lost
    redis.call('SREM', ALIVE, sync)
  end
end
return answer
