-- How much a shard holds. Changes nothing.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time, unused
-- Returns  { queued, running, delayed }

local queued, delayed = 0, 0
for _, n in ipairs(redis.call('HVALS', QUEUED)) do queued = queued + (tonumber(n) or 0) end
for _, sync in ipairs(redis.call('ZRANGE', DELAYED, 0, -1)) do delayed = delayed + redis.call('ZCARD', LATER .. sync) end
return { int(queued), int(redis.call('ZCARD', LEASES)), int(delayed) }
