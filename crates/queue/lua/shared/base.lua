-- Shared by every script: the time, and numbers as Redis stores them.
-- Needs the key names that src/keys.rs puts in front. ARGV[1] is the time in µs since the Unix epoch; 0, as in
-- production, means the clock of Redis, so that the clocks of workers do not matter. Tests pass a virtual time.

local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

-- Lua on its own would write a time as 1.8e+15.
local function int(n)
  return string.format('%.0f', n)
end
