-- Claims jobs together with their permits: promotes what is due, takes back what dead workers held, then goes along the
-- line of ready channels, one job per channel and visit. O(log n) per job, whatever waits.
-- An attempt counts from its claim, so a job that kills its worker runs out of attempts too.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)
--     [2]  at most so many jobs (0 to 1,000)  [3] lease (µs)
--     [4]  the asking worker, unique  [5] the number of its question
--     [6]  1 when the answer to this very question may have been lost: what it gave is given again
-- Returns  { 'emptied' } when the shard has no epoch: nothing was claimed; else
--          { 'claimed', epoch, ticket, wait_us, held_back, job, attempt, sync, channel, job, ... }
--          wait_us: until the next claim can succeed, -1 when only news can help
--          held_back: '' (as many as asked for) | rate | cooldown | channel (every channel with work is paused or at its
--          concurrency) | idle (nothing is queued)

local PER_CALL = 256 -- promotions and recoveries: a claim stays short whatever is due

local max = math.min(tonumber(ARGV[2]), 1000)
local lease_us, asker, number = tonumber(ARGV[3]), ARGV[4], ARGV[5]

local epoch = redis.call('GET', EPOCH)
if not epoch then return { 'emptied' } end

local HEAD = 5 -- fields of the answer before its first row
local answer = { 'claimed', epoch, '0', '-1', '' }
local claimed, ticket = 0, nil

local function add_row(job, attempt, sync, channel_id)
  local n = HEAD + 4 * claimed
  answer[n + 1], answer[n + 2], answer[n + 3], answer[n + 4] = job, int(attempt), sync, channel_id
  claimed = claimed + 1
end

-- The answer was lost on its way: give it once more, so that its jobs need not wait for their leases to run out.
local function repeat_answer()
  local asked, given, jobs = string.match(redis.call('GET', ANSWER .. asker) or '', '^(%d+) (%d+) (.*)$')
  if asked ~= number then return end
  for job in string.gmatch(jobs, '%d+') do
    local held = hold(job)
    if held and held.ticket == given then add_row(job, held.attempt, held.sync, held.channel) end
  end
  ticket = given
end

local function promote_due()
  local left = PER_CALL
  while left > 0 do
    local sync = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', int(now), 'LIMIT', 0, 1)[1]
    if not sync then return end
    local l = lane(sync)
    local due = redis.call('ZRANGEBYSCORE', LATER .. sync, '-inf', int(now), 'LIMIT', 0, left)
    for i = #due, 1, -1 do -- the one that was due first comes to stand in front
      redis.call('ZREM', LATER .. sync, due[i])
      local job, attempts = string.match(due[i], '^(%d+):(%d+)$')
      count(l, 'delayed', -1)
      put_back(l, job, ':', attempts)
    end
    local next_due = redis.call('ZRANGE', LATER .. sync, 0, 0, 'WITHSCORES')[2]
    if next_due then redis.call('ZADD', DELAYED, next_due, sync) else redis.call('ZREM', DELAYED, sync) end
    left = left - math.max(#due, 1)
  end
end

local function recover_expired()
  local expired = redis.call('ZRANGEBYSCORE', LEASES, '-inf', int(now), 'LIMIT', 0, PER_CALL)
  for _, job in ipairs(expired) do
    local held = hold(job)
    if held then
      release(job, held)
      put_back(lane(held.sync), job, ':', held.attempt)
    else
      redis.call('ZREM', LEASES, job)
    end
  end
end

-- The next job of a channel: its number, how often it was attempted, and its lane.
local function take(ch)
  while true do
    local sync = redis.call('ZRANGE', LANES .. ch.id, 0, 0)[1]
    if not sync then return nil end
    local l = lane(sync)
    local entry = l.state == 'open' and redis.call('LPOP', LANE .. sync)
    local job, mark, rest = string.match(entry or '', '^(%d+)([-:+])(%d+)$')
    if job and mark == '-' and job ~= rest then
      redis.call('LPUSH', LANE .. sync, int(job + 1) .. '-' .. rest)
    elseif job then
      file(l)
    else
      redis.call('ZREM', LANES .. ch.id, sync)
    end
    if job then
      count(l, 'queued', -1)
      return job, mark == '-' and 0 or tonumber(rest), l
    end
  end
end

-- Goes round the channels whose time has come, earliest first, until enough is claimed or nothing is left.
local function go_round()
  local ring = redis.call('ZRANGEBYSCORE', READY, '-inf', int(now), 'WITHSCORES', 'LIMIT', 0, max)
  local visits, at = {}, 1
  while ring[at] and #visits < max do
    local ch = channel(ring[at])
    local slot = earliest(ch)
    local job, attempts, l
    if slot and slot <= now then job, attempts, l = take(ch) end
    if job then
      spend(ch, tonumber(ring[at + 1]))
      ch.running = ch.running + redis.call('SADD', RUNNING .. ch.id, job)
      count(l, 'running', 1)
      add_row(job, attempts + 1, l.sync, ch.id)
      visits[#visits + 1] = ch
      ring[#ring + 1], ring[#ring + 2] = ch.id, now
    end
    at = at + 2
  end
  -- Served in this order, they stand in this order behind all who have waited longer.
  for i, ch in ipairs(visits) do ch.served = now - #visits + i end
end

local function hold_rows()
  if claimed == 0 then return end
  ticket = int(math.max(now, tonumber(redis.call('GET', TICKET) or 0) + 1))
  redis.call('SET', TICKET, ticket)
  local holds, leases, jobs = {}, {}, {}
  for n = HEAD + 1, #answer, 4 do
    local job, attempt, sync, channel_id = answer[n], answer[n + 1], answer[n + 2], answer[n + 3]
    jobs[#jobs + 1] = job
    holds[#holds + 1] = job
    holds[#holds + 1] = sync .. '|' .. attempt .. '|' .. channel_id .. '|' .. ticket
    leases[#leases + 1] = int(now + lease_us)
    leases[#leases + 1] = job
  end
  redis.call('HSET', HELD, unpack(holds))
  redis.call('ZADD', LEASES, unpack(leases))
  redis.call('SET', ANSWER .. asker, number .. ' ' .. ticket .. ' ' .. table.concat(jobs, ' '),
    'PX', math.max(1, math.ceil(lease_us / 1000)))
end

-- Until the next claim can succeed, and what holds the shard back.
local function outlook()
  local head = redis.call('ZRANGE', READY, 0, 0, 'WITHSCORES')
  local at = tonumber(head[2])
  for _, key in ipairs({ DELAYED, LEASES }) do
    local score = tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
    if score and (not at or score < at) then at = score end
  end
  local why = ''
  if claimed < max then
    if head[1] then
      local _, binds = earliest(channel(head[1]))
      why = binds
    elseif tonumber(redis.call('HGET', DEPTH, 'queued') or 0) > 0 then
      why = 'channel'
    else
      why = 'idle'
    end
  end
  return at and int(math.max(0, at - now)) or '-1', why
end

if ARGV[6] == '1' then repeat_answer() end
if not ticket then
  promote_due()
  recover_expired()
  place_channels()
  go_round()
  hold_rows()
  save_numbers()
  place_channels()
  -- Whoever got all that could be had needs no help; otherwise others should come for what was promoted or recovered.
  if claimed == max then wake() end
end
answer[3] = ticket or '0'
answer[4], answer[5] = outlook()
return answer
