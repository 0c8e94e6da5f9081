-- Moves the permits of a claim to the present: its call is about to be made, later after the claim than is usual. That is
-- always allowed, since a window that ends now held the permit before as well; and what follows keeps its distance to the
-- call that is really made.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)
--     [2]  job  [3] ticket
-- Returns  retimed | lost (the job is no longer held under the ticket; nothing changed)

local held = hold(ARGV[2])
if not held or held.ticket ~= ARGV[3] then return 'lost' end
local ch = channel(held.channel)
for _, level in ipairs({ ch, server(ch.server) }) do move_permit(level, held.permit) end
redis.call('HSET', HELD, ARGV[2], hold_value(held.sync, held.attempt, held.channel, held.ticket) .. '|' .. int(now))
place_all()
return 'retimed'
