-- Puts the lane of one sync back as the ledger has it, or one chunk of a big one, while everything else goes on: what waits in
-- the lane is replaced; a job that somebody holds stays with its holder and is left out. A lane that has heard more than the
-- ledger's snapshot tells stays as it is.
-- Until the last chunk is in, the lane is `filling`: its jobs can be claimed, its notices wait. `spared`: what was held at the
-- first chunk. Any of it may be back in the lane at the next one, and must not come in twice.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)
--     [2]  channel, [4] its server, and the rest of their rules to [19]: see shared/rule.lua
--    [20]  sync  [21] seq  [22] unused  [23] urgent (0, 1)  [24] state  [25] entries before this chunk  [26] last chunk (0, 1)
--    [27]  epoch of the shard  [28] token of this putting back
--    [29+] at most 1,000 entries: first-last | job:attempts | job:attempts@wait_us; spans ascending
-- Returns  put | kept (it has heard more) | taken (somebody else is putting the lane back) | over (the shard has another life)

local FIRST_ENTRY = 29

local id, server_id = ARGV[2], ARGV[4]
local sync, seq, _, urgent, state, before, last, epoch, token = unpack(ARGV, 20, 28)
seq, before = tonumber(seq), tonumber(before)

if #ARGV >= FIRST_ENTRY + 1000 then return redis.error_reply('ERR put_lane: more than 1000 entries') end
for i = FIRST_ENTRY, #ARGV do
  if not (string.match(ARGV[i], '^%d+[-:]%d+$') or string.match(ARGV[i], '^%d+:%d+@%d+$')) then
    return redis.error_reply('ERR put_lane: unreadable entry ' .. ARGV[i])
  end
end

if life() ~= epoch then return 'over' end

-- Whoever puts a lane back has put the rests back that the ledger knows. How a level was called lately whose hash was lost, nobody
-- knows. While the whole shard is being restored, its opening says the same for all; what is lost meanwhile waits for a comparison.
local function find_again()
  if redis.call('EXISTS', RESTORING) == 1 then return apply_rule() end
  local keys, was_lost = { CHANNEL .. id, SERVER .. server_id }, {}
  for i, key in ipairs(keys) do was_lost[i] = redis.call('HEXISTS', key, 'version') == 0 end
  apply_rule()
  for i, key in ipairs(keys) do
    redis.call('HDEL', key, 'lost')
    if was_lost[i] then note_unknown(key) end
  end
end

local function finish(answer)
  save_numbers()
  place_all()
  wake()
  return answer
end

-- What is held of the lane. It takes its slots, should it have lost them.
local function held_of_lane()
  local jobs = {}
  for _, job in ipairs(held_jobs(id)) do
    local held = hold(job)
    if held then
      for _, level in ipairs({ id, server_id }) do redis.call('SADD', RUNNING .. level, job) end
    end
    if held and held.sync == sync then jobs[#jobs + 1] = job end
  end
  return jobs
end

-- Begins the lane anew. Its place by age stays, if that is known.
local function begin(l)
  l.channel = l.channel or id
  drop_waiting(l)
  local kept, spared = redis.call('HMGET', SYNC .. sync, 'opened', 'calls'), held_of_lane()
  redis.call('DEL', SYNC .. sync)
  redis.call('HSET', SYNC .. sync, 'channel', id, 'state', state, 'urgent', urgent, 'opened', kept[1] or int(now),
    'seq', int(seq), 'life', int(seq), 'calls', kept[2] or 0, 'running', #spared,
    'filling', token, 'spared', table.concat(spared, ' '))
  redis.call('SADD', ALIVE, sync)
  lanes[sync] = nil
  return lane(sync)
end

local function spared_jobs()
  local spared, is = {}, {}
  for job in string.gmatch(redis.call('HGET', SYNC .. sync, 'spared') or '', '%-?%d+') do
    spared[#spared + 1] = tonumber(job)
    is[job] = true
  end
  table.sort(spared)
  return spared, is
end

local spared, is_spared
local at = 1

-- Adds what is left of a span without the jobs that are spared; spans and spared jobs both ascend.
local function add_span(l, fresh, first, last_id)
  local function add(from, to)
    if from > to then return end
    fresh[#fresh + 1] = int(from) .. '-' .. int(to)
    count(l, 'queued', to - from + 1)
  end
  while spared[at] and spared[at] < first do at = at + 1 end
  while spared[at] and spared[at] <= last_id do
    add(first, spared[at] - 1)
    first, at = spared[at] + 1, at + 1
  end
  add(first, last_id)
end

local function add_jobs(l)
  local fresh = {}
  for i = FIRST_ENTRY, #ARGV do
    local first, last_id = string.match(ARGV[i], '^(%d+)-(%d+)$')
    local job, attempts, wait_us = string.match(ARGV[i], '^(%d+):(%d+)@?(%d*)$')
    if first then
      add_span(l, fresh, tonumber(first), tonumber(last_id))
    elseif not is_spared[job] and wait_us ~= '' then
      delay(l, job, attempts, now + wait_us)
    elseif not is_spared[job] then
      fresh[#fresh + 1] = ARGV[i]
      count(l, 'queued', 1)
    end
  end
  if #fresh > 0 then redis.call('RPUSH', LANE .. sync, unpack(fresh)) end
  if last == '1' then redis.call('HDEL', SYNC .. sync, 'filling', 'spared') end
end

local l = lane(sync)
if before == 0 and l.seq and l.seq > seq then return 'kept' end
if before > 0 and l.filling ~= token then return 'taken' end
find_again()
server(server_id)
channel(id)
if before == 0 then l = begin(l) end
spared, is_spared = spared_jobs()
add_jobs(l)
file(l)
return finish('put')
