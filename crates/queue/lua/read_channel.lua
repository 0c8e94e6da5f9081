-- A channel and its server as the queue sees them. Changes nothing.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)  [2] channel, or '' for the server alone  [3] server
-- Returns  { outlook of the channel, its level, its server's level }, the first two empty when it is unknown; see
--          shared/outlook.lua

local ch = ARGV[2] ~= '' and channel(ARGV[2])
local known = ch and ch.known
return { known and outlook_of(ch) or {}, known and level_fields(ch) or {}, level_fields(server(ARGV[3])) }
