-- Moves the permits of a claim on: its call is about to be made, later after the claim than is usual. What follows then keeps
-- its distance to the call that is really made. A permit so old that the windows have filled up without it goes back instead.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)
--     [2]  job  [3] ticket  [4] how long the way from a claim to its call is at least (µs): the permit becomes as old as that
--     [5]  1 when it was moved for the same call before, which took too long as well
-- Returns  moved | late (there is no room for the call now; the permits went back) | lost (the job is no longer held under
--          the ticket; nothing changed)

local held = hold(ARGV[2])
if not held or held.ticket ~= ARGV[3] then return 'lost' end
local ch = channel(held.channel)
local levels = { ch, server(ch.server) }
local to, room = math.max(tonumber(held.permit), now - ARGV[4]), true
for _, level in ipairs(levels) do room = lift_permit(level, held.permit, to, ARGV[5] == '1') and room end
if room then
  for _, level in ipairs(levels) do put_permit(level, to) end
  redis.call('HSET', HELD, ARGV[2], hold_value(held.sync, held.attempt, held.channel, held.ticket, to))
else
  for _, level in ipairs(levels) do drop_permit(level) end
end
place_all()
return room and 'moved' or 'late'
