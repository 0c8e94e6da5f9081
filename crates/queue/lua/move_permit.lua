-- Moves the permits of a claim on: its call is made later after the claim than is usual. What follows then keeps its distance to the
-- call that is really made. A permit that is in the list of its level no more stays out of it.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)
--     [2]  job  [3] ticket  [4] how long the way from a claim to its call is at least (µs): the permit becomes as old as that
--     [5]  1 when the call is not made yet: then only where the windows have room for it
-- Returns  moved | late (there is no room now) | lost (the job is no longer held under the ticket); these two change nothing

local held = hold(ARGV[2])
if not held or held.ticket ~= ARGV[3] then return 'lost' end
local ch = channel(held.channel)
local to = math.max(tonumber(held.permit), now - ARGV[4])
local sv = server(ch.server)
if ARGV[5] == '1' and not (has_room(ch, held.permit, to) and has_room(sv, held.permit, to)) then return 'late' end
move_permit(ch, held.permit, to)
move_permit(sv, held.permit, to)
redis.call('HSET', HELD, ARGV[2], hold_value(held.sync, held.attempt, held.channel, held.ticket, to))
place_all()
return 'moved'
