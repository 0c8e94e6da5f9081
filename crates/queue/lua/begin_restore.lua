-- Takes the restoring of an emptied shard upon oneself, from whoever had begun it before.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time, unused  [2] token
-- Returns  begun | open (the shard has its epoch: nothing is to be restored, nothing changed)

if redis.call('EXISTS', EPOCH) == 1 then return 'open' end
redis.call('SET', RESTORING, ARGV[2], 'EX', 3600)
return 'begun'
