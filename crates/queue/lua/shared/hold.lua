-- Shared: who holds a job. Needs channel.lua and lane.lua.
-- The ticket is the time of the claim, made unique. It fences: a job between two calls keeps its attempt number, so the
-- number alone could not tell a late repetition from the claim that followed.

local function hold(job)
  local value = redis.call('HGET', HELD, job)
  if not value then return nil end
  local sync, attempt, channel_id, ticket = string.match(value, '^([^|]*)|(%d+)|([^|]*)|(%d+)$')
  return { sync = sync, attempt = tonumber(attempt), channel = channel_id, ticket = ticket }
end

local function release(job, held)
  redis.call('HDEL', HELD, job)
  redis.call('ZREM', LEASES, job)
  count(lane(held.sync), 'running', -1)
  local ch = channel(held.channel)
  ch.running = ch.running - redis.call('SREM', RUNNING .. held.channel, job)
  return ch
end
