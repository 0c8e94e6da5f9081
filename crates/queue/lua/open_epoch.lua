-- Ends a restoration: from now on the shard's jobs can be claimed.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time, unused  [2] token of the restoration  [3] number of the epoch
-- Returns  opened | taken (another restoration began, or this one has ended; nothing changed)

if redis.call('EXISTS', EPOCH) == 1 or redis.call('GET', RESTORING) ~= ARGV[2] then return 'taken' end
redis.call('DEL', RESTORING)
redis.call('SET', EPOCH, ARGV[3])
redis.call('PUBLISH', WAKE, '')
return 'opened'
