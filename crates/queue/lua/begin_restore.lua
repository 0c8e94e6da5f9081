-- Takes the restoring of a shard without a life upon oneself, from whoever had begun it before. Workers are woken, because
-- what they hold of the shard is lost.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time, unused  [2] token
-- Returns  begun | open (the shard has its epoch) | newer (only a newer version knows the keys); then nothing changed

local epoch, why_not = life()
if epoch then return 'open' end
if why_not == 'newer' then return why_not end
redis.call('DEL', EPOCH, HOME)
redis.call('UNLINK', HELD, LEASES) -- so that nothing that is still settled or renewed changes anything
redis.call('SET', RESTORING, ARGV[2])
redis.call('PUBLISH', WAKE, '')
return 'begun'
