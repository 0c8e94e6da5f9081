-- Settles a batch: takes each job from its holder and does with it as ruled; then what the answers mean for their
-- channels. A group whose ticket is not the holder's is stale and changes nothing, so a batch can be sent again.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)
--     [2]  1 when the caller claims right behind this call and will take what it frees; nobody else is woken for that
--     [3+] at most 1,000 groups of (job, ticket, ruling, argument):
--          done ''          the job is over
--          next ''          its next call, under the same attempt: in front of everything else of its channel
--          delay wait_us    the attempt failed; not before then
--          back ''          the attempt does not count; at once, in front
--          snooze wait_us   the attempt does not count; not before then
--          cooldown 'wait_us|grows (0, 1)|reason|detail'   back, and its channel rests
--          pause reason     back, and its channel stands still
-- Returns  the jobs of the stale groups

local MAX_GROWN_US = 300 * 1000000 -- what doubling can come to; a gateway that asks for more gets more
local ARGUMENT = {
  done = '^$', next = '^$', back = '^$', delay = '^%d+$', snooze = '^%d+$', cooldown = '^%d+|[01]|[^|]*|', pause = '.',
}

if (#ARGV - 2) % 4 ~= 0 or #ARGV > 4002 then
  return redis.error_reply('ERR settle_jobs: not 0 to 1000 groups of four')
end
for i = 3, #ARGV, 4 do
  local pattern = ARGUMENT[ARGV[i + 2]]
  if not pattern or not string.match(ARGV[i + 3], pattern) then
    return redis.error_reply('ERR settle_jobs: unreadable ruling ' .. ARGV[i + 2] .. ' ' .. ARGV[i + 3])
  end
end

local freed_much = false

-- A call that was claimed before the last cooldown ended says nothing new about the channel: it neither counts as
-- another strike nor as a good answer.
local function tells_news(ch, ticket)
  return tonumber(ticket) >= ch.cooldown_until
end

local function good_answer(ch, ticket)
  if (ch.strikes == 0 and not ch.trial) or not tells_news(ch, ticket) then return end
  if ch.trial then freed_much = true end
  ch.strikes, ch.trial, ch.changed = 0, false, true
end

local function cool_down(ch, ticket, argument)
  local wait_us, grows, reason, detail = string.match(argument, '^(%d+)|([01])|([^|]*)|(.*)$')
  wait_us = tonumber(wait_us)
  if tells_news(ch, ticket) then ch.strikes = ch.strikes + 1 end
  if grows == '1' then wait_us = math.min(wait_us * 2 ^ math.max(0, ch.strikes - 1), math.max(MAX_GROWN_US, wait_us)) end
  ch.trial, ch.changed = true, true
  if now + wait_us > ch.cooldown_until then
    ch.cooldown_until = now + wait_us
    redis.call('HSET', CHANNEL .. ch.id, 'cooldown_reason', reason, 'cooldown_detail', detail)
  end
end

-- Ahead of the ledger's notice, which follows. A rule that is newer than the call knew better: it may be that somebody
-- resumed the channel meanwhile, and if the ledger paused it once more, that notice follows too.
local function pause(ch, ticket, reason)
  if ch.paused or not ch.known then return end
  if tonumber(ticket) < tonumber(redis.call('HGET', CHANNEL .. ch.id, 'ruled_at') or 0) then return end
  ch.paused = reason
  redis.call('HSET', CHANNEL .. ch.id, 'paused', reason)
end

local function rule(job, held, ch, ruling, argument)
  local l = lane(held.sync)
  if ruling == 'done' then
    good_answer(ch, held.ticket)
  elseif ruling == 'next' then
    good_answer(ch, held.ticket)
    put_back(l, job, '+', held.attempt - 1)
  elseif ruling == 'delay' then
    delay(l, job, held.attempt, now + argument)
  elseif ruling == 'snooze' then
    delay(l, job, held.attempt - 1, now + argument)
  else
    put_back(l, job, ':', held.attempt - 1)
    if ruling == 'cooldown' then cool_down(ch, held.ticket, argument) end
    if ruling == 'pause' then pause(ch, held.ticket, argument) end
  end
end

local stale = {}
for i = 3, #ARGV, 4 do
  local job, ticket, ruling, argument = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local held = hold(job)
  if held and held.ticket == ticket then
    rule(job, held, release(job, held), ruling, argument)
  else
    stale[#stale + 1] = job
  end
end
save_numbers()
place_channels()
if ARGV[2] ~= '1' or freed_much then wake() end
return stale
