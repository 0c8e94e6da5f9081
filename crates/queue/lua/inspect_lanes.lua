-- What is wrong with lanes that the ledger knows to be open, as far as that shows without the ledger, and how much they hold. On
-- the way their channels get the places in line and the slots that are theirs, slots that nobody holds come free, and lanes are
-- listed again.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)
--     [2+] at most 200 groups of (sync, channel, server)
-- Returns  { word or '', seq or '', jobs (waiting and held), ... }, a group for each
--          '' nothing | unknown (the queue does not have the lane) | filling (it is being put back, or was when somebody died)
--          | rule (what is known of its channel or server is lost) | jobs, running (they are not what its numbers say)
--          | delayed (it has delayed jobs and is not among those that do, or the other way round)
--          | order (it is in no order of its channel)

local GROUP, MOST = 3, 200
local COUNTED = 1000 -- entries; a longer lane is taken at its word
local left = 5000 -- of them in this call

if (#ARGV - 1) % GROUP ~= 0 or #ARGV > 1 + GROUP * MOST then
  return redis.error_reply('ERR inspect_lanes: not 0 to 200 groups of three')
end

-- Whether the lane's list can be what its number says.
local function adds_up(sync, queued)
  local entries = redis.call('LLEN', LANE .. sync)
  if entries > COUNTED or entries > left then return queued >= entries end
  left = left - entries
  for _, entry in ipairs(redis.call('LRANGE', LANE .. sync, 0, -1)) do
    local job, mark, rest = read_entry(entry)
    if not job then return false end
    queued = queued - (mark == '-' and rest - job + 1 or 1)
  end
  return queued == 0
end

local held

-- Gives every job of a channel that is held its slot, and takes those away that nobody holds. The slots of the servers
-- were seen to be as many as what is held, by inspect_shard.lua a moment ago.
local function count_slots(ch)
  if ch.counted then return end
  held = held or held_by_channel()
  local jobs = held[ch.id] or {}
  for _, job in ipairs(jobs) do redis.call('SADD', RUNNING .. ch.id, job) end
  for _, job in ipairs(redis.call('SCARD', RUNNING .. ch.id) > #jobs and redis.call('SMEMBERS', RUNNING .. ch.id) or {}) do
    if redis.call('HEXISTS', HELD, job) == 0 then redis.call('SREM', RUNNING .. ch.id, job) end
  end
  ch.running, ch.counted, ch.changed = #jobs, true, true
  local sv = server(ch.server)
  sv.running, sv.changed = redis.call('SCARD', RUNNING .. sv.id), true
end

local function loss(l, id, server_id, numbers)
  if not l.alive or l.channel ~= id then return 'unknown' end
  redis.call('SADD', ALIVE, l.sync)
  if l.filling then return 'filling' end
  local ch = channel(id)
  if not ch.known or ch.lost or ch.server ~= server_id or server(server_id).lost then return 'rule' end
  if redis.call('HEXISTS', SERVER .. server_id, 'version') == 0 or redis.call('SISMEMBER', SERVERS, server_id) == 0 then
    return 'rule'
  end
  count_slots(ch)
  if numbers.running < 0 or numbers.running > ch.running then return 'running' end
  if not adds_up(l.sync, numbers.queued) then return 'jobs' end
  if (numbers.delayed > 0) ~= (redis.call('ZSCORE', DELAYED, l.sync) ~= false) then return 'delayed' end
  if l.state == 'open' and numbers.queued > 0 and not redis.call('ZSCORE', LANES .. id, l.sync) then return 'order' end
  return ''
end

local answer = {}
for i = 2, #ARGV, GROUP do
  local sync, id, server_id = unpack(ARGV, i, i + GROUP - 1)
  local l = lane(sync)
  local numbers = {
    queued = tonumber(redis.call('HGET', QUEUED, sync) or 0),
    running = tonumber(redis.call('HGET', SYNC .. sync, 'running') or 0),
    delayed = redis.call('ZCARD', LATER .. sync),
  }
  answer[#answer + 1] = loss(l, id, server_id, numbers)
  answer[#answer + 1] = l.seq and int(l.seq) or ''
  answer[#answer + 1] = int(numbers.queued + numbers.running + numbers.delayed)
end
place_all()
wake()
return answer
