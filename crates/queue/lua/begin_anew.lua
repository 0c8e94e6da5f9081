-- Takes the restoring of a shard upon oneself whose keys the scripts fail on: somebody else wrote there. Its life ends, and workers are
-- woken, because what they hold of it is lost.
-- Whoever hears of the failure says so, and may come with that when it is mended: a shard that was begun anew a moment ago is spared.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time, unused  [2] token
-- Returns  begun | spared | newer (only a newer version knows the keys); then nothing changed

local SPARED_MS = 2000

local _, why_not = life()
if why_not == 'newer' then return why_not end
local left_ms = redis.call('PTTL', ANEW)
if left_ms > 0 and left_ms <= SPARED_MS then return 'spared' end
redis.call('SET', ANEW, '1', 'PX', SPARED_MS)
redis.call('DEL', EPOCH, HOME)
redis.call('UNLINK', HELD, LEASES) -- so that nothing that is still settled or renewed changes anything
redis.call('SET', RESTORING, ARGV[2])
redis.call('PUBLISH', WAKE, '')
return 'begun'
