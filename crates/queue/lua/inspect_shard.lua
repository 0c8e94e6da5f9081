-- Whether a shard is alive and whole, as far as that shows without the ledger. Changes nothing but the time of the next
-- comparison with the ledger.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time, unused  [2] from one comparison with the ledger to the next (ms), 0 for one now
-- Returns  { emptied } | { newer } | { open, epoch, restoring (0, 1), whole (0, 1), due (0, 1) }
--          whole: what is held, its leases and its slots agree; every script changes all three together
--          due: nobody has compared the shard with the ledger for that long; who is told so, does it

local epoch, why_not = life()
if not epoch then return { why_not } end

local running = 0
for _, id in ipairs(redis.call('SMEMBERS', SERVERS)) do running = running + redis.call('SCARD', RUNNING .. id) end
local held, leases = redis.call('HLEN', HELD), redis.call('ZCARD', LEASES)
local whole = held == leases and leases == running

local every_ms = tonumber(ARGV[2])
-- One that would stay for ever is not ours.
if redis.call('PTTL', COMPARED) == -1 then redis.call('DEL', COMPARED) end
local due = every_ms == 0 or redis.call('SET', COMPARED, '1', 'NX', 'PX', every_ms)
return { 'open', epoch, int(redis.call('EXISTS', RESTORING)), whole and '1' or '0', due and '1' or '0' }
