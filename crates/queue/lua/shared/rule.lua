-- Shared by the scripts that bring something of the ledger: the rule of a channel and that of its server. Needs hold.lua and
-- channel.lua,
-- and ARGV:
--     [2]  channel  [3] version  [4] its server  [5] who or what paused it, or ''  [6] why
--   [7-12] the channel's limit: interval_us, windows (calls:µs:name, separated by blanks), burst, concurrency, weight, rate
--    [13]  number of the change that the server's limit comes from
--    [14]  the server's limit to [19], in the same order; interval_us '' when it has none

-- Gives a level its limit. Times at which it was called stay what they are.
local function limit_level(key, first)
  local interval_us, windows, burst, concurrency, weight, rate = unpack(ARGV, first, first + 5)
  redis.call('HSET', key, 'interval_us', interval_us, 'windows', windows, 'burst', burst,
    'concurrency', concurrency, 'weight', weight, 'rate', rate)
  local tat, empty = redis.call('HGET', key, 'tat'), now + interval_us * burst
  -- A limit that speeds a level up does so now, not when the slots of the slow one are over.
  if tat and tonumber(tat) > empty then redis.call('HSET', key, 'tat', int(empty)) end
end

local function limit_server()
  local key = SERVER .. ARGV[4]
  redis.call('SADD', SERVERS, ARGV[4])
  local known = redis.call('EXISTS', WORKING .. ARGV[4], RUNNING .. ARGV[4]) > 0
  if known and redis.call('HEXISTS', key, 'version') == 0 then note_loss(key) end
  local stored = redis.call('HGET', key, 'version')
  if stored and tonumber(ARGV[13]) <= tonumber(stored) then return end
  redis.call('HSET', key, 'version', ARGV[13])
  if ARGV[14] == '' then
    redis.call('HDEL', key, 'interval_us', 'windows', 'burst', 'concurrency', 'weight', 'rate')
    redis.call('UNLINK', CALLS .. ARGV[4])
  else
    limit_level(key, 14)
  end
end

-- A channel whose gateway has moved leaves the lines of the server it was at.
local function leave_server(id, from)
  for _, class in ipairs(CLASSES) do
    redis.call('ZREM', DUE .. class .. ':' .. from, id)
    redis.call('ZREM', ROUND .. class .. ':' .. from, id)
  end
  redis.call('ZREM', WORKING .. from, id)
  redis.call('HDEL', CHANNEL .. id, 'cooldown_until', 'cooldown_reason', 'cooldown_detail', 'strikes', 'trial', 'pace', 'paced_at')
  redis.call('HDEL', CHANNEL .. id, 'tag_u', 'tag_b') -- they count in the rounds of that server
  local left, joined = server(from), server(ARGV[4])
  for _, job in ipairs(redis.call('SMEMBERS', RUNNING .. id)) do
    if redis.call('SREM', RUNNING .. from, job) == 1 then
      redis.call('SADD', RUNNING .. ARGV[4], job)
      left.running, joined.running = left.running - 1, joined.running + 1
    end
  end
  left.changed, joined.changed = true, true
end

-- Applies both, unless a newer version of them is there already.
local function apply_rule()
  limit_server()
  local id, version, server_id, paused_by, paused = unpack(ARGV, 2, 6)
  local key = CHANNEL .. id
  local stored, from = unpack(redis.call('HMGET', key, 'version', 'server'))
  if stored and tonumber(version) <= tonumber(stored) then return end
  if from and from ~= server_id then leave_server(id, from) end
  if redis.call('HEXISTS', key, 'version') == 0 then
    local running = count_held(id)
    local known = running > 0 or redis.call('EXISTS', LANES .. id) == 1 or redis.call('ZSCORE', WORKING .. server_id, id)
    if known then note_loss(key) end
    redis.call('HSET', key, 'running', running)
  end
  redis.call('HSET', key, 'version', version, 'server', server_id, 'ruled_at', int(now))
  limit_level(key, 7)
  if paused_by == '' then
    redis.call('HDEL', key, 'paused_by', 'paused')
  else
    local probing = redis.call('HGET', key, 'paused_by') == 'session'
    redis.call('HSET', key, 'paused_by', paused_by, 'paused', paused)
    if not probing then redis.call('HSET', key, 'probes', 0, 'probe_at', int(now + FIRST_PROBE_US)) end
  end
end
