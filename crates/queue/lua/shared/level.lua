-- Shared: the limiter of one level, a channel or a provider server. Both are hashes with the same fields; a server may be
-- without a rule, and then admits whatever its channels do.
-- A level is read once per script call; save_level() writes back what the call changed. `known_since`: its earlier calls were
-- lost (only a channel or a server whose hash was gone has it; for a whole shard see opened_at()). `lost`: so may a rest be, as
-- long as nobody has asked the ledger.

-- Calls that come late do not slow their level down: inside the windows, so much (µs) of the schedule is caught up with.
local CATCH_UP_US = 200000
local FULL_PACE = 1000000 -- ppm of the configured rate
local SLOWEST_PACE = 10000
local CLIMB_PER_SECOND = 20000 -- ppm, while answers are good
local UNSURE_US = 30 * 1000000 -- without what was known of a level, if the ledger is not asked before
local TICK_US = 5000000 -- the observed rate is an average over this
local READ_AHEAD = 32 -- permits: each call that is claimed asks for the one behind the last
local LATELY = 1000 -- permits: among so many the one of a call that was answered is looked for

-- What the limiter remembers of a level, as fields of its hash; one that is not there is 0, and the pace the full one.
local LIMITER = {
  'tat', 'wanted_at', 'pace', 'paced_at', 'cooldown_until', 'strikes', 'trial', 'urgent_run', 'tick', 'ticks',
  'ticks_before', 'known_since', 'running', 'called_at',
}

local function read_fields(key)
  local fields, all = {}, redis.call('HGETALL', key)
  for i = 1, #all, 2 do fields[all[i]] = all[i + 1] end
  return fields
end

local function read_level(key, id)
  local f = read_fields(key)
  local level = {
    key = key,
    id = id,
    read = f, -- what is stored, as far as this call knows
    limited = f.interval_us and true,
    interval_us = tonumber(f.interval_us or 0),
    windows = {},
    burst = tonumber(f.burst or 1),
    concurrency = tonumber(f.concurrency or math.huge),
    weight = tonumber(f.weight or 1),
    lost = f.lost and true,
    stored = {}, -- times of earlier permits, as far as they were asked for
    taken = {}, -- times of the permits taken in this call
  }
  for calls, micros, name in string.gmatch(f.windows or '', '(%d+):(%d+):(%a+)') do
    level.windows[#level.windows + 1] = { calls = tonumber(calls), micros = tonumber(micros), name = name }
  end
  for _, name in ipairs(LIMITER) do level[name] = tonumber(f[name] or 0) end
  if not f.pace then level.pace = FULL_PACE end
  level.trial = level.trial == 1
  -- Either may be lost; whoever compares the queue with the ledger counts anew.
  level.running = math.max(level.running, redis.call('SCARD', RUNNING .. id))
  return level
end

-- What the gateway's answers have made of a length of time between calls.
local function stretched(level, micros)
  if level.pace == FULL_PACE then return micros end
  return math.floor(micros * FULL_PACE / level.pace)
end

-- The time of the n-th newest permit, or false.
local function permit(level, n)
  local older = n - #level.taken
  if older <= 0 then return level.taken[1 - older] end -- the newest is the last
  if level.stored[older] == nil then
    local from = math.max(1, older - READ_AHEAD + 1)
    local times = redis.call('LRANGE', CALLS .. level.id, int(from - 1), int(older - 1))
    for i = from, older do level.stored[i] = tonumber(times[i - from + 1] or nil) or false end
  end
  return level.stored[older]
end

-- What was called before a loss is not known: from this time on it no longer matters, because the rate's window has passed.
local function sure_from(level)
  if level.lost then return level.known_since + UNSURE_US end
  local since = math.max(level.known_since, opened_at())
  return since > 0 and level.windows[1] and since + level.windows[1].micros or 0
end

-- When the rate no longer depends on permits whose list was lost, which the time of the last one shows.
local function unlisted_until(level)
  local window = level.windows[1]
  local free = window and level.called_at + stretched(level, window.micros)
  return free and free > now and not permit(level, 1) and free or 0
end

-- When the next call may be made as far as this level goes, or nil; and what decides that.
local function slot_of(level)
  if level.running >= (level.trial and 1 or level.concurrency) then return nil, 'concurrency' end
  local slot, why = 0, 'rate'
  if level.limited then slot = level.tat - stretched(level, level.interval_us) * (level.burst - 1) end
  slot = math.max(slot, sure_from(level), unlisted_until(level))
  for i, window in ipairs(level.windows) do
    local before = permit(level, window.calls)
    local free = before and before + (i == 1 and stretched(level, window.micros) or window.micros)
    if free and free > slot then slot, why = free, window.name end
  end
  if level.cooldown_until > 0 and level.cooldown_until >= slot then return level.cooldown_until, 'cooldown' end
  return slot, why
end

-- Moves the count of calls on to the present.
local function tick(level)
  local current = math.floor(now / TICK_US)
  if current == level.tick then return end
  level.ticks_before = current == level.tick + 1 and level.ticks or 0
  level.tick, level.ticks = current, 0
end

-- Takes the permit that slot_of() found. `wanted_at`: since when somebody has waited for permits of this level; what was
-- left unused before is not caught up with.
local function spend(level, ticket)
  tick(level)
  level.ticks = level.ticks + 1
  level.changed = true
  if not level.limited then return end
  local from = math.max(level.tat, level.wanted_at, now - CATCH_UP_US, sure_from(level))
  level.tat = from + stretched(level, level.interval_us)
  level.taken[#level.taken + 1] = ticket
  level.called_at = ticket
end

-- Takes the permit of that time out of the list; whether it was there.
local function unlist(level, at)
  level.stored = {}
  local was_there = redis.call('LREM', CALLS .. level.id, 1, at) == 1
  if was_there and not permit(level, 1) then level.called_at = 0 end
  return was_there
end

-- Gives a permit back that no call was made with.
local function give_back(level, ticket)
  tick(level)
  level.ticks = math.max(0, level.ticks - 1)
  level.changed = true
  if not level.limited then return end
  if unlist(level, ticket) then level.tat = level.tat - stretched(level, level.interval_us) end
end

-- Whether the windows have room for the permit of `from` at a later time.
local function has_room(level, from, to)
  for i, window in ipairs(level.windows) do
    local before = permit(level, window.calls)
    if before and before <= tonumber(from) then before = permit(level, window.calls + 1) end -- it is one of these itself
    if before and before + (i == 1 and stretched(level, window.micros) or window.micros) > to then return false end
  end
  return true
end

-- The call of a permit is made so much later.
local function move_permit(level, from, to)
  if not level.limited or not unlist(level, from) then return end
  redis.call('LPUSH', CALLS .. level.id, int(to))
  level.stored = {}
  level.called_at, level.changed = math.max(level.called_at, to), true
end

-- A call was made with its permit. The gateway may have seen it so much (µs) later than is usual: it counts from then on.
local function note_used(level, at, late_us)
  if late_us == 0 or not level.limited then return end
  local place = redis.call('LPOS', CALLS .. level.id, at, 'MAXLEN', LATELY)
  if not place then return end
  redis.call('LSET', CALLS .. level.id, place, int(at + late_us))
  level.stored = {}
  level.called_at, level.changed = math.max(level.called_at, at + late_us), true
end

-- Calls per second lately.
local function observed(level)
  tick(level)
  local share = now % TICK_US / TICK_US
  return string.format('%.3f', (level.ticks_before * (1 - share) + level.ticks) * 1000000 / TICK_US)
end

-- A call that was claimed before the last cooldown ended says nothing new: it is neither another strike nor a good answer.
local function tells_news(level, ticket)
  return tonumber(ticket) >= level.cooldown_until
end

-- Ends a trial, and lets a rate that was lowered climb. Returns whether that freed more than one call.
local function good_answer(level, ticket)
  if not tells_news(level, ticket) then return false end
  local trial = level.trial
  if level.strikes ~= 0 or trial then level.strikes, level.trial, level.changed = 0, false, true end
  if level.pace < FULL_PACE then
    local since = math.min(now - level.paced_at, 1000000)
    if since > 0 then
      level.pace = math.min(FULL_PACE, level.pace + math.floor(CLIMB_PER_SECOND * since / 1000000))
      level.paced_at = now
      level.changed = true
    end
  end
  return trial
end

local MAX_GROWN_US = 300 * 1000000 -- what doubling can come to; a gateway that asks for more gets more

local function cool_down(level, ticket, wait_us, grows, slower, reason, detail)
  local news = tells_news(level, ticket)
  if news then level.strikes = level.strikes + 1 end
  if grows then wait_us = math.min(wait_us * 2 ^ math.max(0, level.strikes - 1), math.max(MAX_GROWN_US, wait_us)) end
  if news and slower then
    level.pace, level.paced_at = math.max(SLOWEST_PACE, math.floor(level.pace / 2)), now + wait_us
  end
  level.trial, level.changed = true, true
  if now + wait_us > level.cooldown_until then
    level.cooldown_until = now + wait_us
    level.tat = math.max(level.tat, level.cooldown_until)
    redis.call('HSET', level.key, 'cooldown_reason', reason, 'cooldown_detail', detail)
  end
end

-- A level that others still know of, and nothing is known of itself, was lost: its earlier calls and its rests are not known.
local function note_loss(key)
  redis.call('HSET', key, 'known_since', int(now), 'lost', 1)
end

-- As if it had been called just now, unless more is known: its earlier calls are not.
local function note_unknown(key)
  if tonumber(redis.call('HGET', key, 'known_since') or 0) == 0 then redis.call('HSET', key, 'known_since', int(now)) end
end

-- Adds a field to those that are to be written, unless that is what is stored; one that is not stored counts as 0.
local function add_changed(level, fields, name, value)
  local written = int(value)
  if (level.read[name] or '0') == written then return end
  level.read[name] = written
  fields[#fields + 1] = name
  fields[#fields + 1] = written
end

-- Writes what has changed of a level, and of what else stands in its hash.
local function save_level(level, beside)
  if not level.changed then return end
  level.changed = false
  local fields = {}
  for _, name in ipairs(LIMITER) do
    add_changed(level, fields, name, name == 'trial' and (level.trial and 1 or 0) or level[name])
  end
  for name, value in pairs(beside or {}) do add_changed(level, fields, name, value) end
  if #fields > 0 then redis.call('HSET', level.key, unpack(fields)) end
  if #level.taken == 0 then return end
  local kept, longest = 0, 0
  for _, window in ipairs(level.windows) do
    kept, longest = math.max(kept, window.calls), math.max(longest, window.micros)
  end
  local taken = {}
  for i, ticket in ipairs(level.taken) do taken[i] = ticket == level.taken[i - 1] and taken[i - 1] or int(ticket) end
  redis.call('LPUSH', CALLS .. level.id, unpack(taken))
  level.taken, level.stored = {}, {}
  redis.call('LTRIM', CALLS .. level.id, '0', int(kept - 1))
  redis.call('EXPIRE', CALLS .. level.id, int(longest / 1000000 + 60))
end
