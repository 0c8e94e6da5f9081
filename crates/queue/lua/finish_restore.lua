-- Says that every lane of a restored shard is back.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time, unused  [2] number of the epoch
-- Returns  finished | over (the shard has another life; nothing changed)

if redis.call('GET', EPOCH) ~= ARGV[2] then return 'over' end
redis.call('DEL', RESTORING)
return 'finished'
