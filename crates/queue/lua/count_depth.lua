-- How much a shard holds. Changes nothing.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time, unused
-- Returns  { queued, running, delayed }

local waiting = redis.call('HMGET', DEPTH, 'queued', 'delayed')
return { waiting[1] or '0', int(redis.call('ZCARD', LEASES)), waiting[2] or '0' }
