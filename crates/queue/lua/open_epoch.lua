-- Opens a shard that is being restored: from now on its jobs can be claimed and notices applied, while lanes are still being
-- put back. The epoch belongs to the Redis server that this runs on.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)
--     [2]  token of the restoration  [3] number of the epoch
--     [4]  1 when the shard never had an epoch before: nobody was called for it
-- Returns  opened | taken (another restoration began, or this one has opened the shard; nothing changed)

if redis.call('EXISTS', EPOCH) == 1 or redis.call('GET', RESTORING) ~= ARGV[2] then return 'taken' end
redis.call('MSET', EPOCH, ARGV[3], HOME, this_run() .. '|' .. LAYOUT)
if ARGV[4] == '1' then redis.call('DEL', OPENED) else redis.call('SET', OPENED, int(now)) end
redis.call('PUBLISH', WAKE, '')
return 'opened'
