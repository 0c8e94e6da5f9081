-- Applies one notice of the ledger, or one chunk of a big one: the channel's rule, then the lane and its new jobs.
-- Applying twice changes nothing. The lane's number moves with the last chunk only; `partial` counts the entries of the
-- next notice that are in already, so a delivery that broke off is taken up where it ended.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)
--     [2]  channel, [4] its server, and the rest of their rules to [19]: see shared/rule.lua
--    [20]  sync, or '' when the notice is about the channel alone
--    [21]  seq  [22] opens (0, 1)  [23] urgent (0, 1)  [24] state  [25] entries before this chunk  [26] last chunk (0, 1)
--    [27+] at most 1,000 entries: first-last | job:attempts | job:attempts@wait_us
-- Returns  applied | early (an earlier notice is missing, or the lane is being put back: nothing of the lane changed)
--          | emptied (the shard has no life, or that of another Redis server) | newer (only a newer version knows the keys);
--          then nothing changed

local FIRST_ENTRY = 27

local id, server_id = ARGV[2], ARGV[4]
local sync, seq, opens, urgent, state, before, last = unpack(ARGV, 20, 26)

if #ARGV >= FIRST_ENTRY + 1000 then return redis.error_reply('ERR apply_notice: more than 1000 entries') end
for i = FIRST_ENTRY, #ARGV do
  if not (string.match(ARGV[i], '^%d+[-:]%d+$') or string.match(ARGV[i], '^%d+:%d+@%d+$')) then
    return redis.error_reply('ERR apply_notice: unreadable entry ' .. ARGV[i])
  end
end

local epoch, why_not = life()
if not epoch then return why_not end

local function finish(answer)
  save_numbers()
  place_all()
  wake()
  return answer
end

-- A new life of the lane. What an earlier one left, if there was one, is void: its results come too late for this one.
local function begin_life(l)
  l.channel = id
  drop_waiting(l)
  for _, job in ipairs(l.seq and held_jobs(id) or {}) do
    local held = hold(job)
    if held and held.sync == sync then release(job, held) end
  end
  let_go()
  redis.call('DEL', SYNC .. sync)
  redis.call('HSET', SYNC .. sync, 'channel', id, 'state', state, 'urgent', urgent, 'opened', int(now),
    'seq', int(seq - 1), 'life', seq)
  redis.call('SADD', ALIVE, sync)
  lanes[sync] = nil
  return lane(sync)
end

-- Puts the entries in that an earlier delivery of this chunk did not.
local function add_jobs(l)
  local fresh = {}
  for i = FIRST_ENTRY + l.partial - before, #ARGV do
    local entry = ARGV[i]
    local job, attempts, wait_us = string.match(entry, '^(%d+):(%d+)@(%d+)$')
    if job then
      delay(l, job, attempts, now + wait_us)
    else
      local first, last_id = string.match(entry, '^(%d+)-(%d+)$')
      fresh[#fresh + 1] = entry
      count(l, 'queued', first and last_id - first + 1 or 1)
    end
  end
  if #fresh > 0 then redis.call('RPUSH', LANE .. sync, unpack(fresh)) end
  local there = math.max(l.partial, before + #ARGV - FIRST_ENTRY + 1)
  if last == '1' then
    redis.call('HSET', SYNC .. sync, 'seq', seq)
    redis.call('HDEL', SYNC .. sync, 'partial')
  else
    redis.call('HSET', SYNC .. sync, 'partial', there)
  end
end

apply_rule()
channel(id)
server(server_id)
if sync == '' then return finish('applied') end

local l = lane(sync)
seq, before = tonumber(seq), tonumber(before)
if l.seq and seq <= l.seq then return finish('applied') end
local follows = l.seq and seq == l.seq + 1
local starts = opens == '1' and not l.alive
local ends = state == 'closed' -- whatever came before has nothing to say any more
if not ends and (l.filling or not (follows or starts)) then return finish('early') end
-- A lane that nobody knows, and jobs of it that somebody holds: it was lost. It comes back when they are settled.
if starts and not l.seq and is_held(sync) then return finish('early') end
if state == 'closed' then
  l.channel = l.channel or id
  close(l, seq)
  return finish('applied')
end
local begun = l.alive and l.life == seq
if opens == '1' and not begun then l = begin_life(l) end
if not l.alive then -- something about a life that is over: only its number counts
  redis.call('HSET', SYNC .. sync, 'seq', seq)
  return finish('applied')
end
if l.partial < before then return finish('early') end
if l.state ~= state then
  l.state = state
  redis.call('HSET', SYNC .. sync, 'state', state)
end
add_jobs(l)
file(l)
return finish('applied')
