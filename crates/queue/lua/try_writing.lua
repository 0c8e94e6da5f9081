-- Asks for a write that changes nothing: where Redis takes none (out of memory, a replica, a disk that is full), it says so.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time, unused
-- Returns  0

return redis.call('ZADD', LEASES, 'XX', 0, 'nobody')
