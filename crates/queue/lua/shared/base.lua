-- Shared by every script: the time, numbers as Redis stores them, and the life of the shard.
-- Needs the key names that src/keys.rs puts in front. ARGV[1] is the time in µs since the Unix epoch; 0, as in
-- production, means the clock of Redis, so that the clocks of workers do not matter. Tests pass a virtual time.

local format = string.format

local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

-- Lua on its own would write a time as 1.8e+15. Cuts a fraction off; %d takes a tenth of the time of %.0f.
local function int(n)
  return format('%d', n)
end

-- Of the Redis server that this runs on: another one after every restart and failover. '' where INFO is not permitted.
local function this_run()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
end

-- The epoch of the shard; or nil, and why: emptied | newer (the keys have a layout that only a newer version knows).
-- A server that was started again, or took over from another one, may hold an older state with its epoch: that life is over.
local function life()
  local epoch, home = unpack(redis.call('MGET', EPOCH, HOME))
  local run, layout = string.match(home or '', '^(%x*)|(%d+)$')
  if layout and tonumber(layout) > LAYOUT then return nil, 'newer' end
  if not string.match(epoch or '', '^%d+$') or not layout or tonumber(layout) < LAYOUT then return nil, 'emptied' end
  local this = run ~= '' and this_run() or ''
  if this ~= '' and this ~= run then return nil, 'emptied' end
  return epoch
end

local opened

-- When the shard was opened after a loss; 0 in its first life.
local function opened_at()
  opened = opened or tonumber(redis.call('GET', OPENED) or 0)
  return opened
end
