-- One step of dropping what an emptied shard still holds, before it is restored. What is known of channels and
-- servers stays: their limiters and cooldowns are true whatever happened to the jobs. Only the rules are to be told anew.
-- Where somebody else wrote, none of it can be believed, and all goes whatever its type.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time, unused  [2] token of the restoration  [3] cursor, 0 at first
--     [4]  1 when nothing is to stay
-- Returns  the next cursor, 0 when all is dropped; '' when another restoration began or this one has ended

if not string.match(P, '^sincro:{.+}:$') then return redis.error_reply('ERR clear_shard: not a shard') end
if redis.call('EXISTS', EPOCH) == 1 or redis.call('GET', RESTORING) ~= ARGV[2] then return '' end

local function begins(key, name)
  return string.sub(key, 1, #name) == name
end

local function is_level(key)
  return (begins(key, CHANNEL) or begins(key, SERVER)) and redis.call('TYPE', key).ok == 'hash'
end

local function stays(key)
  if key == RESTORING or key == ANEW then return true end
  return ARGV[4] ~= '1' and (key == TICKET or key == PROBES or key == SERVERS or begins(key, CALLS))
end

local step = redis.call('SCAN', ARGV[3], 'MATCH', P .. '*', 'COUNT', 1000)
for _, key in ipairs(step[2]) do
  if ARGV[4] ~= '1' and is_level(key) then
    redis.call('HSET', key, 'version', -1, 'running', 0) -- a version less than any there is
    redis.call('HDEL', key, 'lost') -- whoever restores the shard asks the ledger for all rests
  elseif not stays(key) then
    redis.call('UNLINK', key)
  end
end
return step[1]
