-- The provider servers of a shard that have work, or had some. Changes nothing.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time, unused
-- Returns  their names

local names = redis.call('SMEMBERS', SERVERS)
table.sort(names)
return names
