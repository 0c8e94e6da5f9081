-- Shared by the scripts that only look: what a level admits, and what a channel waits for. Needs channel.lua.

-- { rate per second or '' without a limit, pace (ppm), observed rate, concurrency or '', running, cooldown_until (µs) or '0',
--   cooldown_reason, cooldown_detail, weight, rate per second that its caps sustain or '' }
local function level_fields(level)
  local sustained
  for i, window in ipairs(level.windows) do
    local rate = window.calls * 1000000 / window.micros
    if i > 1 and (not sustained or rate < sustained) then sustained = rate end
  end
  local shown = redis.call('HMGET', level.key, 'rate', 'cooldown_reason', 'cooldown_detail')
  return {
    level.limited and shown[1] or '', int(level.pace), observed(level),
    level.concurrency < math.huge and int(level.concurrency) or '', int(level.running),
    int(level.cooldown_until > now and level.cooldown_until or 0), shown[2] or '', shown[3] or '', int(level.weight),
    sustained and string.format('%.9f', sustained) or '',
  }
end

-- The jobs that wait in these lanes.
local function queued_in(syncs)
  local jobs = 0
  for _, n in ipairs(#syncs > 0 and redis.call('HMGET', QUEUED, unpack(syncs)) or {}) do jobs = jobs + (tonumber(n or nil) or 0) end
  return jobs
end

-- What a channel with work waits for: when its next call may be made (µs, nil when nobody can say), what decides that
-- (paused | session | concurrency | cooldown | rate | minute | hour | day), and at which level.
local function binding(ch)
  if ch.paused_by then return ch.paused_by == 'session' and ch.probe_at or nil, ch.paused_by == 'session' and 'session' or 'paused', 'channel' end
  local sv = server(ch.server)
  -- A rest comes first: calls that are still under way from before it are not what is waited for.
  if ch.cooldown_until > now and ch.cooldown_until >= sv.cooldown_until then return ch.cooldown_until, 'cooldown', 'channel' end
  if sv.cooldown_until > now then return sv.cooldown_until, 'cooldown', 'server' end
  local own, own_why = slot_of(ch)
  local its, its_why = slot_of(sv)
  if not own then return nil, own_why, 'channel' end
  if not its then return nil, its_why, 'server' end
  if its > own then return its, its_why, 'server' end
  return own, own_why, 'channel'
end

-- { paused_by or '', why, probe_at (µs) or '', next slot (µs) or '', what binds or '' when nothing does, its level }
local function outlook_of(ch)
  local slot, why, level = binding(ch)
  if slot and slot <= now and why ~= 'session' then why, level = '', '' end
  return {
    ch.paused_by or '', ch.paused or '', ch.paused_by == 'session' and int(ch.probe_at) or '',
    slot and int(math.max(slot, now)) or '', why, level,
  }
end
