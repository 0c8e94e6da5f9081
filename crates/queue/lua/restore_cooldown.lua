-- Puts a cooldown back that the ledger remembers: while its shard is being restored, or in an open one where nothing is known of
-- its level any more.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)
--     [2]  token of the restoration, '' in a shard that is open  [3] server  [4] channel, or '' for the whole server  [5] wait_us  [6] reason
-- Returns  restored (also where the level knows better) | taken (another restoration began, or this one has opened the shard; nothing changed)

local open = redis.call('EXISTS', EPOCH) == 1
if open ~= (ARGV[2] == '') or not open and redis.call('GET', RESTORING) ~= ARGV[2] then return 'taken' end

local key = ARGV[4] == '' and SERVER .. ARGV[3] or CHANNEL .. ARGV[4]
local until_us = now + ARGV[5]
if open and redis.call('HEXISTS', key, 'version') == 1 and redis.call('HEXISTS', key, 'lost') == 0 then return 'restored' end
if open then note_unknown(key) end
if until_us > tonumber(redis.call('HGET', key, 'cooldown_until') or 0) then
  redis.call('HSET', key, 'cooldown_until', int(until_us), 'trial', 1, 'cooldown_reason', '', 'cooldown_detail', ARGV[6])
end
redis.call('SADD', SERVERS, ARGV[3])
return 'restored'
