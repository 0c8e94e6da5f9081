-- One step of going through what is held: each job takes its slot of its channel and server, should it have lost it. What
-- nobody can read is held by nobody: it is dropped, and comes back from the ledger.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time, unused  [2] cursor, 0 at first
-- Returns  the next cursor, 0 at the end

local step = redis.call('HSCAN', HELD, ARGV[2], 'COUNT', 1000)
for i = 1, #step[2], 2 do
  local job, held = step[2][i], read_hold(step[2][i + 1])
  if held then
    local at = redis.call('HGET', CHANNEL .. held.channel, 'server')
    redis.call('SADD', RUNNING .. held.channel, job)
    if at then redis.call('SADD', RUNNING .. at, job) end
  else
    redis.call('HDEL', HELD, job)
    redis.call('ZREM', LEASES, job)
    for _, id in ipairs(redis.call('SMEMBERS', SERVERS)) do
      if redis.call('SREM', RUNNING .. id, job) == 1 then redis.call('HINCRBY', SERVER .. id, 'running', -1) end
    end
  end
end
return step[1]
