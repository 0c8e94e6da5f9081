-- What only the queue knows of a sync. Changes nothing.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)  [2] channel  [3] sync
-- Returns  { { running, queued, delayed, state or '', retry_at (µs) or '', calls, jobs of its channel that come first },
--            outlook of its channel, its level, its server's level,
--            { channel, weight, rate per second (of at most 100 that share the server with it), ... } }

local SHARERS = 100

local ch = channel(ARGV[2])
local sync = ARGV[3]
local numbers = redis.call('HMGET', SYNC .. sync, 'running', 'state', 'calls')

-- The lanes of its channel that go before it.
local function ahead()
  local rank = redis.call('ZRANK', LANES .. ch.id, sync)
  if not rank then return 0 end
  return rank > 0 and queued_in(redis.call('ZRANGE', LANES .. ch.id, 0, math.min(rank, SHARERS) - 1)) or 0
end

local function sharers()
  local rows = {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', WORKING .. ch.server, '(0', '+inf', 'LIMIT', 0, SHARERS)) do
    if id ~= ch.id then
      local f = redis.call('HMGET', CHANNEL .. id, 'weight', 'rate', 'pace')
      rows[#rows + 1] = id
      rows[#rows + 1] = f[1] or '1'
      rows[#rows + 1] = string.format('%.6f', (tonumber(f[2] or nil) or 0) * (tonumber(f[3] or nil) or FULL_PACE) / FULL_PACE)
    end
  end
  return rows
end

if not ch.known then return { { '0', '0', '0', '', '', '0', '0' }, {}, {}, {}, {} } end
return {
  {
    numbers[1] or '0', int(queued_in({ sync })), int(redis.call('ZCARD', LATER .. sync)), numbers[2] or '',
    redis.call('ZSCORE', DELAYED, sync) or '', numbers[3] or '0', int(ahead()),
  },
  outlook_of(ch), level_fields(ch), level_fields(server(ch.server)), sharers(),
}
