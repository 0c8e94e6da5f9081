-- Settles a batch: takes each job from its holder and does with it as ruled; then what the answers mean for their
-- channels. A group whose ticket is not the holder's is stale and changes nothing, so a batch can be sent again.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)
--     [2]  1 when the caller claims right behind this call and will take what it frees; nobody else is woken for that
--     [3+] at most 1,000 groups of (job, ticket, ruling, argument, used):
--          done ''          the job is over
--          next ''          its next call, under the same attempt: in front of everything else of its channel
--          delay wait_us    the attempt failed; not before then
--          back ''          the attempt does not count; at once, in front
--          snooze wait_us   the attempt does not count; not before then
--          cooldown 'level (channel, server)|wait_us|grows (0, 1)|slower (0, 1)|reason|detail'   back, and the level rests;
--                   to the end of its lane when it was the call that tried the level again
--          pause 'by|reason'   back to the end of its lane, and its channel stands still
--          still_lost ''    of a look at the session: another look later
--          used: when the call was made, how much later than is usual (µs) the gateway may have seen it; '' without a call: then the
--                permit is given back
-- Returns  the jobs of the stale groups

local LAST_PROBE_US = 300 * 1000000
local PROBE_AGAIN_US = 1000000 -- a look that could not be made
local GROUP, MOST = 5, 1000
-- What an argument has to be; a ruling that nobody can read hands its job back, so that one cannot hold up the others.
local ARGUMENT = {
  done = '', next = '', back = '', delay = '^%d+$', snooze = '^%d+$', still_lost = '',
  cooldown = '^%a+|%d+|[01]|[01]|[^|]*|', pause = '^%a+|',
}

if (#ARGV - 2) % GROUP ~= 0 or #ARGV > 2 + GROUP * MOST then
  return redis.error_reply('ERR settle_jobs: not 0 to 1000 groups of five')
end

local freed_much = false

local function readable(ruling, argument)
  local pattern = ARGUMENT[ruling]
  local fits = pattern and string.match(argument, pattern)
  if pattern == '' then fits = argument == '' end -- most of them; no pattern is needed for that
  if fits then return ruling, argument end
  redis.log(redis.LOG_WARNING, 'sincro: unreadable ruling ' .. ruling .. ' ' .. argument)
  return 'back', ''
end

local function rest(ch, sv, ticket, argument)
  local level, wait_us, grows, slower, reason, detail = string.match(argument, '^(%a+)|(%d+)|([01])|([01])|([^|]*)|(.*)$')
  cool_down(level == 'server' and sv or ch, ticket, tonumber(wait_us), grows == '1', slower == '1', reason, detail)
  if level == 'channel' and not ch.known then -- its hash was lost meanwhile; the rest is kept all the same
    let_go()
    ch.running = count_held(ch.id)
    save_level(ch)
    note_loss(ch.key)
  end
end

local function ruled_since(ch, ticket)
  return tonumber(ticket) < tonumber(redis.call('HGET', CHANNEL .. ch.id, 'ruled_at') or 0)
end

-- As the ledger's notice does, should that not have come through. A rule that is newer than the call knew better: it may be that somebody
-- resumed the channel meanwhile, and if the ledger paused it once more, that notice follows too.
local function pause(ch, ticket, argument)
  local by, reason = string.match(argument, '^(%a+)|(.*)$')
  if not ch.known or (ch.paused_by and ch.paused_by ~= 'session') then return end
  if ruled_since(ch, ticket) then return end
  if ch.paused_by == by then return end
  stand_still(ch, by, reason)
end

local function rule_probe(ch, ticket, ruling)
  if ch.paused_by ~= 'session' then return end -- resumed or stopped by somebody meanwhile
  ch.changed = true
  if ruling == 'done' then
    if not ruled_since(ch, ticket) then go_on(ch) end -- it may have been lost once more
  elseif ruling == 'still_lost' then
    ch.probes = ch.probes + 1
    ch.probe_at = now + math.min(FIRST_PROBE_US * 2 ^ math.min(ch.probes, 20), LAST_PROBE_US)
  else
    ch.probe_at = now + PROBE_AGAIN_US
  end
end

-- Whether a job is refused although it was the one call that was to try the level again: others try first the next time.
local function is_refused_again(held, ch, sv, ruling, argument)
  if ruling ~= 'cooldown' then return ruling == 'pause' end
  local level = string.match(argument, '^server') and sv or ch
  return level.trial and tells_news(level, held.ticket)
end

local function rule(job, held, ch, sv, ruling, argument)
  if held.probe then return rule_probe(ch, held.ticket, ruling) end
  local l = lane(held.sync)
  if is_refused_again(held, ch, sv, ruling, argument) then
    put_last(l, job, held.attempt - 1)
  elseif ruling == 'next' then
    put_back(l, job, '+', held.attempt - 1)
  elseif ruling == 'delay' then
    delay(l, job, held.attempt, now + argument)
  elseif ruling == 'snooze' then
    delay(l, job, held.attempt - 1, now + argument)
  elseif ruling ~= 'done' then
    put_back(l, job, ':', held.attempt - 1)
  end
end

-- What the call, or that there was none, means for the limits of both levels.
local function account(held, ch, sv, ruling, argument, used)
  if used == '' then
    give_back(ch, held.permit)
    give_back(sv, held.permit)
    if not held.probe then count(lane(held.sync), 'calls', -1) end
  else
    local took = math.max(0, now - held.at)
    sv.hold_us = sv.hold_us == 0 and took or sv.hold_us + math.floor((took - sv.hold_us) / 16)
    sv.changed = true
    note_used(ch, held.permit, tonumber(used))
    note_used(sv, held.permit, tonumber(used))
  end
  if used ~= '' and (ruling == 'done' or ruling == 'next') then
    local freed = good_answer(ch, held.at)
    freed_much = good_answer(sv, held.at) or freed or freed_much
  end
  if ruling == 'cooldown' then rest(ch, sv, held.ticket, argument) end
  if ruling == 'pause' then pause(ch, held.ticket, argument) end
end

local jobs, holds, stale = {}, {}, {}
for i = 3, #ARGV, GROUP do jobs[#jobs + 1] = ARGV[i] end
local values = #jobs > 0 and redis.call('HMGET', HELD, unpack(jobs))
for i, job in ipairs(jobs) do holds[job] = read_hold(values[i]) end

for i = 3, #ARGV, GROUP do
  local job, ticket, ruling, argument, used = unpack(ARGV, i, i + GROUP - 1)
  local held = holds[job]
  if held and held.ticket == ticket then
    holds[job] = nil
    ruling, argument = readable(ruling, argument)
    local ch, sv = release(job, held)
    rule(job, held, ch, sv, ruling, argument)
    account(held, ch, sv, ruling, argument, used)
  else
    stale[#stale + 1] = job
  end
end
let_go()
save_numbers()
place_all()
if ARGV[2] ~= '1' or freed_much then wake() end
return stale
