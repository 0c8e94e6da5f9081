-- Shared: a channel's rule, its limiter, and its place in the line of ready channels.
-- A channel is read once per script call; place_channels() writes back what the call changed.

-- A claim that comes this late (µs) does not slow its channel down: the next slot still counts from when this one
-- opened. It is a third of the 15 ms by which 1.5 % stretches a second; the rest is for the way to the gateway.
local LATENESS_US = 5000

local channels = {}
local woken = false

local function channel(id)
  local ch = channels[id]
  if ch then return ch end
  local rule = redis.call('HMGET', CHANNEL .. id,
    'interval_us', 'burst', 'concurrency', 'paused', 'tat', 'cooldown_until', 'strikes', 'trial')
  ch = {
    id = id,
    known = rule[1] and true,
    interval_us = tonumber(rule[1] or 0),
    burst = tonumber(rule[2] or 1),
    concurrency = tonumber(rule[3] or 0),
    paused = rule[4],
    tat = tonumber(rule[5] or 0), -- when the bucket is full again
    cooldown_until = tonumber(rule[6] or 0),
    strikes = tonumber(rule[7] or 0),
    trial = rule[8] == '1',
    running = redis.call('SCARD', RUNNING .. id),
  }
  channels[id] = ch
  return ch
end

-- When the next call of a channel may be made, or nil; and what decides that. The only place that knows the levels of
-- the limit: a provider server's would be asked here too, and the later of the two would bind.
local function earliest(ch)
  if not ch.known or ch.paused then return nil, 'paused' end
  if ch.running >= (ch.trial and 1 or ch.concurrency) then return nil, 'concurrency' end
  local slot = ch.tat - ch.interval_us * (ch.burst - 1)
  if ch.cooldown_until > slot then return ch.cooldown_until, 'cooldown' end
  return slot, 'rate'
end

-- Takes the permit that earliest() found, from every level. `opened`: since when it could have been taken.
local function spend(ch, opened)
  ch.tat = math.max(ch.tat, opened, now - LATENESS_US) + ch.interval_us
  ch.changed = true
end

-- Files a channel in the line under the time at which its next claim can succeed, or takes it out.
local function place(ch)
  local slot = earliest(ch)
  if slot and redis.call('ZCARD', LANES .. ch.id) == 0 then slot = nil end
  local was = tonumber(redis.call('ZSCORE', READY, ch.id) or nil)
  if not slot then
    if was then redis.call('ZREM', READY, ch.id) end
    return
  end
  -- A channel that waits for a worker keeps its place; one that was just served goes behind all who wait.
  if slot <= now and was and was <= now and not ch.served then return end
  local at = slot > now and slot or ch.served or now
  redis.call('ZADD', READY, int(at), ch.id)
  if not ch.served and (not was or at < was) then woken = true end
end

local function place_channels()
  for _, ch in pairs(channels) do
    if ch.changed and ch.known then
      redis.call('HSET', CHANNEL .. ch.id, 'tat', int(ch.tat), 'cooldown_until', int(ch.cooldown_until),
        'strikes', ch.strikes, 'trial', ch.trial and 1 or 0)
      ch.changed = false
    end
    place(ch)
  end
end

-- Tells waiting workers that something can be claimed earlier than they were told.
local function wake()
  if woken then redis.call('PUBLISH', WAKE, '') end
end
