-- Closes lanes whose syncs are over, as the notice of their end would have done. One that has heard something since it was
-- listed stays. What is held stays with its holders.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)
--     [2+] at most 200 pairs of (sync, seq when it was listed)
-- Returns  how many were closed

local PAIR, MOST = 2, 200

if (#ARGV - 1) % PAIR ~= 0 or #ARGV > 1 + PAIR * MOST then
  return redis.error_reply('ERR close_lanes: not 0 to 200 pairs')
end

local closed = 0
for i = 2, #ARGV, PAIR do
  local l = lane(ARGV[i])
  if l.alive and l.seq == tonumber(ARGV[i + 1]) then
    close(l, l.seq)
    closed = closed + 1
  end
end
save_numbers()
place_all()
return closed
