-- Ends the life of a shard that has lost more than single lanes: it is to be restored.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time, unused  [2] number of the epoch
-- Returns  closed | over (the shard has another life, or none; nothing changed)

if redis.call('GET', EPOCH) ~= ARGV[2] then return 'over' end
redis.call('DEL', EPOCH, HOME)
redis.call('PUBLISH', WAKE, '')
return 'closed'
