-- Shared: channels and their servers, and where each stands in line. Needs level.lua.
--
-- A channel waits twice for its turn, once for bulk and once for urgent work (the classes): first in `due` for the time at
-- which its own level admits a call, then in the round of its server, ordered by tags. A server stands in the shard's line
-- under the time at which it can serve the class. Only what can be claimed, or will be at a known time, is in any of these.
-- place_all() writes all of it anew for what a script call has touched.

local CLASSES = { 'u', 'b' } -- urgent, bulk
local BULK_ORDER = 3e15 -- lanes of a channel with an order below are urgent
local FIRST_PROBE_US = 2 * 1000000 -- from the loss of a session to the first look at it
local SERVICE = 1000000 -- by so much a call moves the tag of a channel of weight 1

local channels, servers = {}, {}
local woken = false

local function server(id)
  local sv = servers[id]
  if sv then return sv end
  sv = read_level(SERVER .. id, id)
  local own = sv.read
  sv.known = own.version -- one without a rule has a version, too
  sv.hold_us = tonumber(own.hold_us or 0)
  sv.v = { u = tonumber(own.v_u or 0), b = tonumber(own.v_b or 0) } -- the tag that was served last
  servers[id] = sv
  return sv
end

local function channel(id)
  local ch = channels[id]
  if ch then return ch end
  ch = read_level(CHANNEL .. id, id)
  local own = ch.read
  ch.known = ch.limited and own.server and true
  ch.server = own.server or ''
  ch.paused_by, ch.paused = own.paused_by, own.paused
  ch.probe_at, ch.probes = tonumber(own.probe_at or 0), tonumber(own.probes or 0)
  ch.tag = { u = tonumber(own.tag_u or 0), b = tonumber(own.tag_b or 0) }
  channels[id] = ch
  return ch
end

-- Whether a channel has a lane of that class that something can be taken from.
local function has_work(ch, class)
  if not ch.has then
    local first = tonumber(redis.call('ZRANGE', LANES .. ch.id, '0', '0', 'WITHSCORES')[2])
    local last = first and tonumber(redis.call('ZRANGE', LANES .. ch.id, '-1', '-1', 'WITHSCORES')[2])
    ch.has = { u = first and first < BULK_ORDER, b = last and last >= BULK_ORDER }
  end
  return ch.has[class]
end

-- When a channel may make its next call of that class as far as its own level goes, or nil; and what decides that.
local function channel_slot(ch, class)
  if not ch.known or (ch.paused_by and ch.paused_by ~= 'session') then return nil, 'paused' end
  if ch.paused_by then -- nothing but a look at the session, and one at a time
    if class ~= 'u' or ch.running > 0 then return nil, 'session' end
    local slot = slot_of(ch)
    return slot and math.max(slot, ch.probe_at), 'session'
  end
  if not has_work(ch, class) then return nil, 'idle' end
  return slot_of(ch)
end

local function stand_still(ch, by, reason)
  ch.paused_by, ch.paused, ch.probes, ch.probe_at, ch.changed = by, reason, 0, now + FIRST_PROBE_US, true
  redis.call('HSET', CHANNEL .. ch.id, 'paused_by', by, 'paused', reason)
end

local function go_on(ch)
  ch.paused_by, ch.paused, ch.probes = nil, nil, 0
  redis.call('HDEL', CHANNEL .. ch.id, 'paused_by', 'paused')
end

-- When a server may be called next as far as its own level goes, or nil; and what decides that. What is lost has no slot.
local function server_slot(sv)
  if not sv.known then return nil, 'rate' end
  return slot_of(sv)
end

local function enter_round(ch, class)
  if not ch.known then return end -- its hash was lost; whoever puts it back places it
  local tag = math.max(ch.tag[class], server(ch.server).v[class])
  redis.call('ZADD', ROUND .. class .. ':' .. ch.server, int(tag), ch.id)
end

-- Puts a channel where it belongs among the channels of its server.
local function place(ch)
  local waits, waited = false, false
  for _, class in ipairs(CLASSES) do
    local due, round = DUE .. class .. ':' .. ch.server, ROUND .. class .. ':' .. ch.server
    local slot = channel_slot(ch, class)
    local was_due, in_round = tonumber(redis.call('ZSCORE', due, ch.id) or nil), redis.call('ZSCORE', round, ch.id)
    if in_round and not (slot and slot <= now) then redis.call('ZREM', round, ch.id) end
    if was_due and not (slot and slot > now) then redis.call('ZREM', due, ch.id) end
    if slot and slot > now and was_due ~= slot then redis.call('ZADD', due, int(slot), ch.id) end
    if slot and slot <= now and not in_round then enter_round(ch, class) end
    waits, waited = waits or slot, waited or was_due or in_round
  end
  if waits and not (waited or ch.served) then ch.wanted_at, ch.changed = now, true end
  -- Those with work share the server by weight; who is paused has no share.
  local works = has_work(ch, 'u') or has_work(ch, 'b') or ch.running > 0
  local share = works and (ch.paused_by and 0 or ch.weight)
  local had = tonumber(redis.call('ZSCORE', WORKING .. ch.server, ch.id) or nil)
  if share and share ~= had then redis.call('ZADD', WORKING .. ch.server, share, ch.id) end
  if had and not share then redis.call('ZREM', WORKING .. ch.server, ch.id) end
end

-- Takes channels into the round of their server whose time has come.
local function promote(sv, class)
  sv.promoted = sv.promoted or {}
  if sv.promoted[class] then return end
  sv.promoted[class] = true
  local due = DUE .. class .. ':' .. sv.id
  local come = redis.call('ZRANGEBYSCORE', due, '-inf', int(now), 'LIMIT', '0', '256')
  for i = 1, #come do
    redis.call('ZREM', due, come[i])
    enter_round(channel(come[i]), class)
  end
end

-- Files a server in the line of the shard under the time at which its next claim of the class can succeed.
local function file_server(sv)
  local slot = server_slot(sv)
  local first, was_wanted -- when the first of its channels wants a call
  for _, class in ipairs(CLASSES) do
    local line, head = READY .. class, nil
    if slot then
      head = redis.call('ZCARD', ROUND .. class .. ':' .. sv.id) > 0 and 0
        or tonumber(redis.call('ZRANGE', DUE .. class .. ':' .. sv.id, '0', '0', 'WITHSCORES')[2])
    end
    local was = tonumber(redis.call('ZSCORE', line, sv.id) or nil)
    local at = head and math.max(slot, head)
    if head and (not first or head < first) then first = head end
    if was and sv.wanted_at <= now then was_wanted = true end
    if not at then
      if was then redis.call('ZREM', line, sv.id) end
    -- One that waits for a worker keeps its place; one that was just served goes behind all who wait.
    elseif at > now or not was or was > now or sv.served then
      if at <= now then at = sv.served or now end
      if at ~= was then redis.call('ZADD', line, int(at), sv.id) end
      if not sv.served and (not was or at < was) then woken = true end
    end
  end
  local since = first and (first > now and first or not (was_wanted or sv.served) and now)
  if since and since ~= sv.wanted_at then sv.wanted_at, sv.changed = since, true end
end

local function save_channel(ch)
  if ch.changed and ch.known then
    save_level(ch, { tag_u = ch.tag.u, tag_b = ch.tag.b, probe_at = ch.probe_at, probes = ch.probes })
  end
end

local function save_server(sv)
  if sv.changed and sv.id ~= '' then
    save_level(sv, { hold_us = sv.hold_us, v_u = sv.v.u, v_b = sv.v.b })
  end
end

local function place_all()
  for _, ch in pairs(channels) do
    if ch.server ~= '' then
      place(ch)
      save_channel(ch)
      server(ch.server)
    end
  end
  for _, sv in pairs(servers) do
    file_server(sv)
    save_server(sv)
  end
end

-- Tells waiting workers that something can be claimed earlier than they were told.
local function wake()
  if woken then redis.call('PUBLISH', WAKE, '') end
end
