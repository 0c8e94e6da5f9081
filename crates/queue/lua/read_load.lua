-- One page of what is going on behind a server. Changes nothing.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)  [2] server  [3] first channel of the page, from 0
-- Returns  { its level, hold_us, { channel, queued, what binds it or '', slot (µs) or '', its level, ... } }, a page of at
--          most 200 channels; the page after the last is empty

local PAGE, LANES_COUNTED = 200, 50

local sv = server(ARGV[2])

local rows = {}
for _, id in ipairs(redis.call('ZRANGE', WORKING .. sv.id, ARGV[3], ARGV[3] + PAGE - 1)) do
  local ch = channel(id)
  rows[#rows + 1] = id
  rows[#rows + 1] = int(queued_in(redis.call('ZRANGE', LANES .. ch.id, 0, LANES_COUNTED - 1)))
  rows[#rows + 1] = outlook_of(ch)
  rows[#rows + 1] = level_fields(ch)
end
return { level_fields(sv), int(sv.hold_us), rows }
