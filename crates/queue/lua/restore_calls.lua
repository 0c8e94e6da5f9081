-- Puts back when a level was called, as far as the ledger remembers, while its shard is being restored. At the first chunk what
-- the shard still knows of it goes: it is less than the ledger's.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)
--     [2]  token of the restoration  [3] server, or channel  [4] first chunk (0, 1)
--     [5+] pairs of (time (µs), calls), latest first, with at most 5,000 calls; a time that is yet to come counts as now
-- Returns  restored | taken (another restoration began, or this one has opened the shard; nothing changed)

local KEPT_S = 90000 -- the longest window, and an hour

if redis.call('EXISTS', EPOCH) == 1 or redis.call('GET', RESTORING) ~= ARGV[2] then return 'taken' end

local key = CALLS .. ARGV[3]
if ARGV[4] == '1' then redis.call('UNLINK', key) end
for i = 5, #ARGV, 2 do
  local at, left = int(math.min(tonumber(ARGV[i]), now)), math.min(tonumber(ARGV[i + 1]), 5000)
  while left > 0 do
    local times = {}
    for n = 1, math.min(left, 1000) do times[n] = at end
    redis.call('RPUSH', key, unpack(times))
    left = left - #times
  end
end
redis.call('EXPIRE', key, KEPT_S)
return 'restored'
