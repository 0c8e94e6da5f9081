-- Applies one notice of the ledger, or one chunk of a big one: the channel's rule, then the lane and its new jobs.
-- Applying twice changes nothing. The lane's number moves with the last chunk only; `partial` counts the entries of the
-- next notice that are in already, so a delivery that broke off is taken up where it ended.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)
--     [2]  token of the restoration, '' for a notice; a restoration replaces what is there and the shard has no epoch
--     [3]  channel  [4] version  [5] its server  [6] who or what paused it, or ''  [7] why
--   [8-13] the channel's limit: interval_us, windows (calls:µs:name, separated by blanks), burst, concurrency, weight, rate
--    [14]  number of the change that the server's limit comes from
--    [15]  the server's limit to [20], in the same order; interval_us '' when it has none
--    [21]  sync, or '' when the notice is about the channel alone
--    [22]  seq  [23] opens (0, 1)  [24] urgent (0, 1)  [25] state  [26] entries before this chunk  [27] last chunk (0, 1)
--    [28+] at most 1,000 entries: first-last | job:attempts | job:attempts@wait_us
-- Returns  applied | early (an earlier notice is missing, nothing of the lane changed) | emptied (no epoch, nothing
--          changed) | taken (another restoration began, or this one has ended; nothing changed)

local FIRST_ENTRY = 28

local token, id, version, server_id, paused_by, paused = unpack(ARGV, 2, 7)
local sync, seq, opens, urgent, state, before, last = unpack(ARGV, 21, 27)

if #ARGV >= FIRST_ENTRY + 1000 then return redis.error_reply('ERR apply_notice: more than 1000 entries') end
for i = FIRST_ENTRY, #ARGV do
  if not (string.match(ARGV[i], '^%d+[-:]%d+$') or string.match(ARGV[i], '^%d+:%d+@%d+$')) then
    return redis.error_reply('ERR apply_notice: unreadable entry ' .. ARGV[i])
  end
end

local restoring = token ~= ''
local has_epoch = redis.call('EXISTS', EPOCH) == 1
if not restoring and not has_epoch then return 'emptied' end
if restoring and (has_epoch or redis.call('GET', RESTORING) ~= token) then return 'taken' end

local function finish(answer)
  save_numbers()
  place_all()
  wake()
  return answer
end

-- Gives a level its limit. Times at which it was called stay what they are.
local function limit_level(key, first)
  local interval_us, windows, burst, concurrency, weight, rate = unpack(ARGV, first, first + 5)
  redis.call('HSET', key, 'interval_us', interval_us, 'windows', windows, 'burst', burst,
    'concurrency', concurrency, 'weight', weight, 'rate', rate)
  local tat, empty = redis.call('HGET', key, 'tat'), now + interval_us * burst
  -- What was called before a loss is not known: the bucket starts empty, so that no limit is exceeded. And a limit that
  -- speeds a level up does so now, not when the slots of the slow one are over.
  if tat and tonumber(tat) > empty or restoring and not tat then redis.call('HSET', key, 'tat', int(empty)) end
end

local function limit_server()
  local key = SERVER .. server_id
  redis.call('SADD', SERVERS, server_id)
  local stored = redis.call('HGET', key, 'version')
  if stored and tonumber(ARGV[14]) <= tonumber(stored) then return end
  redis.call('HSET', key, 'version', ARGV[14])
  if ARGV[15] == '' then
    redis.call('HDEL', key, 'interval_us', 'windows', 'burst', 'concurrency', 'weight', 'rate')
    redis.call('UNLINK', CALLS .. server_id)
  else
    limit_level(key, 15)
  end
end

-- A channel whose gateway has moved leaves the lines of the server it was at.
local function leave_server(from)
  for _, class in ipairs(CLASSES) do
    redis.call('ZREM', DUE .. class .. ':' .. from, id)
    redis.call('ZREM', ROUND .. class .. ':' .. from, id)
  end
  redis.call('ZREM', WORKING .. from, id)
  redis.call('HDEL', CHANNEL .. id, 'cooldown_until', 'cooldown_reason', 'cooldown_detail', 'strikes', 'trial', 'pace', 'paced_at')
  redis.call('HDEL', CHANNEL .. id, 'tag_u', 'tag_b') -- they count in the rounds of that server
  for _, job in ipairs(redis.call('SMEMBERS', RUNNING .. id)) do
    if redis.call('SREM', RUNNING .. from, job) == 1 then redis.call('SADD', RUNNING .. server_id, job) end
  end
  server(from) -- to be filed anew
end

local function apply_rule()
  limit_server()
  local key = CHANNEL .. id
  local stored, from = unpack(redis.call('HMGET', key, 'version', 'server'))
  if not restoring and stored and tonumber(version) <= tonumber(stored) then return end
  if from and from ~= server_id then leave_server(from) end
  redis.call('HSET', key, 'version', version, 'server', server_id, 'ruled_at', int(now))
  limit_level(key, 8)
  if paused_by == '' then
    redis.call('HDEL', key, 'paused_by', 'paused')
  else
    local probing = redis.call('HGET', key, 'paused_by') == 'session'
    redis.call('HSET', key, 'paused_by', paused_by, 'paused', paused)
    if not probing then redis.call('HSET', key, 'probes', 0, 'probe_at', int(now + FIRST_PROBE_US)) end
  end
end

-- A new life of the lane. What an earlier one left is void: its results come too late for this one.
local function begin_life(l)
  l.channel = id
  drop_waiting(l)
  for _, job in ipairs(redis.call('SMEMBERS', RUNNING .. id)) do
    local held = hold(job)
    if held and held.sync == sync then release(job, held) end
  end
  redis.call('DEL', SYNC .. sync)
  redis.call('HSET', SYNC .. sync, 'channel', id, 'state', state, 'urgent', urgent, 'opened', int(now),
    'seq', int(seq - 1), 'life', seq)
  lanes[sync] = nil
  return lane(sync)
end

local function close(l)
  drop_waiting(l)
  l.alive = false
  redis.call('DEL', SYNC .. sync)
  redis.call('HSET', SYNC .. sync, 'channel', id, 'state', 'closed', 'seq', seq)
  redis.call('EXPIRE', SYNC .. sync, 3600)
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
if not restoring then
  if l.seq and seq <= l.seq then return finish('applied') end
  local follows = l.seq and seq == l.seq + 1
  local starts = opens == '1' and not l.alive
  local ends = state == 'closed' and not l.seq
  if not (follows or starts or ends) then return finish('early') end
end
if state == 'closed' then
  close(l)
  return finish('applied')
end
local begun = l.alive and l.life == seq
if restoring and before == 0 or opens == '1' and not begun then l = begin_life(l) end
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
