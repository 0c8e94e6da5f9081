-- Where the jobs of a sync stand in their lane. Changes nothing.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time, unused  [2] sync
-- Returns  at most 1,000 entries from the front of the lane, as they are: first-last | job:attempts | job+attempts

return redis.call('LRANGE', LANE .. ARGV[2], 0, 999)
