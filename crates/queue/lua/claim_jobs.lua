-- Claims jobs together with their permits, from the channel's level and from the server's: promotes what is due, takes
-- back what dead workers held, then goes along the line of ready servers, urgent work first, and in each along the round
-- of its ready channels. O(log n) per job, whatever waits.
-- An attempt counts from its claim, so a job that kills its worker runs out of attempts too.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)
--     [2]  at most so many jobs (0 to 1,000)  [3] at most so many of them bulk  [4] lease (µs)
--     [5]  the asking worker, unique  [6] the number of its question
--     [7]  1 when the answer to this very question may have been lost: what it gave is given again
-- Returns  { 'emptied' } when the shard has no life, or that of another Redis server: nothing was claimed; { 'newer' } when only
--          a newer version knows the keys; else
--          { 'claimed', epoch, ticket, wait_us, held_back, level, job, attempt, sync, channel, spacing_us, urgent (0, 1),
--            job, ... }
--          wait_us: until the next claim can succeed, -1 when only news can help
--          held_back: '' (as many as asked for, or as many bulk ones) | rate | cooldown | channel (every channel with work is
--          paused or at its concurrency) | idle (nothing is queued)
--          level: whose limit that is, channel | server, for rate and cooldown; else ''
--          a job below zero is a look at the channel's session; its sync is 'probe'
--          spacing_us: between two calls, by the tightest limit that admitted the job; 0 without any

local PER_CALL = 256 -- promotions and recoveries: a claim stays short whatever is due
local STAND_IN_US = 50000
local PROMISE_KEPT_MS = 60000 -- after its time; by then nobody is at work any more
local ROUND_READ = 256 -- channels of a round at once
local URGENT_RUN = 9 -- urgent calls in a row; the next is a bulk one, if one waits

local max = math.min(tonumber(ARGV[2]), 1000)
local bulk_left = math.min(tonumber(ARGV[3]), max)
local lease_us, asker, number = tonumber(ARGV[4]), ARGV[5], ARGV[6]

local epoch, why_not = life()
if not epoch then return { why_not } end

local HEAD, ROW = 6, 6 -- fields of the answer before its first row, and of each row
local answer = { 'claimed', epoch, '0', '-1', '', '' }
local claimed, given = 0, nil
local ticket = math.max(now, tonumber(redis.call('GET', TICKET) or 0) + 1)

local function add_row(job, attempt, sync, channel_id, spacing_us, urgent)
  local n = HEAD + ROW * claimed
  answer[n + 1], answer[n + 2], answer[n + 3], answer[n + 4], answer[n + 5], answer[n + 6] =
    job, attempt == 1 and '1' or int(attempt), sync, channel_id, spacing_us, urgent and '1' or '0'
  claimed = claimed + 1
end

-- The same for all jobs of a channel in one call.
local function spacing(ch)
  if not ch.spacing then
    local sv = server(ch.server)
    ch.spacing = int(math.max(stretched(ch, ch.interval_us), stretched(sv, sv.interval_us)))
  end
  return ch.spacing
end

-- The answer was lost on its way: give it once more, so that its jobs need not wait for their leases to run out.
local function repeat_answer()
  local asked, answered, jobs = string.match(redis.call('GET', ANSWER .. asker) or '', '^(%d+) (%d+) (.*)$')
  if asked ~= number then return end
  for job in string.gmatch(jobs, '%-?%d+') do
    local held = hold(job)
    if held and held.ticket == answered then
      local urgent = held.probe or lane(held.sync).urgent
      add_row(job, held.attempt, held.sync, held.channel, spacing(channel(held.channel)), urgent)
    end
  end
  given = answered
end

local function promote_due()
  local left = PER_CALL
  while left > 0 do
    local sync = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', int(now), 'LIMIT', '0', '1')[1]
    if not sync then return end
    local l = lane(sync)
    local due = redis.call('ZRANGEBYSCORE', LATER .. sync, '-inf', int(now), 'LIMIT', '0', left)
    for i = #due, 1, -1 do -- the one that was due first comes to stand in front
      redis.call('ZREM', LATER .. sync, due[i])
      local job, attempts = string.match(due[i], '^(%d+):(%d+)$')
      if job then put_back(l, job, ':', attempts) end
    end
    local next_due = redis.call('ZRANGE', LATER .. sync, '0', '0', 'WITHSCORES')[2]
    if next_due then redis.call('ZADD', DELAYED, next_due, sync) else redis.call('ZREM', DELAYED, sync) end
    left = left - math.max(#due, 1)
  end
end

local function recover_expired()
  local expired = redis.call('ZRANGEBYSCORE', LEASES, '-inf', int(now), 'LIMIT', '0', PER_CALL)
  for _, job in ipairs(expired) do
    local held = hold(job)
    if held then
      release(job, held)
      if not held.probe then put_back(lane(held.sync), job, ':', held.attempt) end
    else -- inspect_shard.lua finds out if more is wrong than this
      redis.call('ZREM', LEASES, job)
      redis.call('HDEL', HELD, job)
    end
  end
  let_go()
end

-- The lane of a channel that is first, and stays it until it gives nothing more. Urgent lanes come before bulk ones unless it is
-- bulk that is asked for.
local function first_lane(ch, class)
  ch.first = ch.first or {}
  if not ch.first[class] then
    local least = class == 'u' and '-inf' or int(BULK_ORDER)
    ch.first[class] = redis.call('ZRANGEBYSCORE', LANES .. ch.id, least, '+inf', 'LIMIT', '0', '1')[1]
  end
  return ch.first[class]
end

-- What is left of a span that was begun goes back to the front of its lane.
local function put_back_rest(l)
  if l.first then redis.call('LPUSH', LANE .. l.sync, int(l.first) .. '-' .. l.last) end
  l.first = nil
end

-- The next entry of a lane: its first job, the mark behind it, and how often it was attempted; nil when there is none, or none that
-- can be read, and then whether there is one.
local function pop(l)
  if l.first then
    local job = l.first
    l.first = job < l.last_number and job + 1 or nil
    return int(job), '-', 0
  end
  local entry = l.state == 'open' and redis.call('LPOP', LANE .. l.sync)
  local job, mark, rest = read_entry(entry)
  if mark ~= '-' then return job, mark or entry, tonumber(rest) end
  if job ~= rest then l.first, l.last, l.last_number = job + 1, rest, tonumber(rest) end
  return job, mark, 0
end

-- The next job of a channel: its number, how often it was attempted, and its lane.
local function take(ch, class)
  while true do
    local sync = first_lane(ch, class)
    if not sync then return nil end
    local l = lane(sync)
    local job, mark, attempts = pop(l)
    if not l.first then -- the front of the lane is another one now
      if mark then -- one that nobody can read is dropped: what it stood for is put back from the ledger
        file(l)
        ch.first = nil
      else
        redis.call('ZREM', LANES .. ch.id, sync)
        ch.has, ch.first = nil, nil
      end
    end
    if job then
      count(l, 'queued', -1)
      return job, attempts, l
    end
  end
end

-- Bulk still moves: after so many urgent calls in a row a level lets one bulk call go first.
local function yields(level)
  return level.urgent_run >= URGENT_RUN and bulk_left > 0
end

-- A permit of a level that admits the job.
local function note_given(level, job, urgent)
  spend(level, ticket)
  level.given = level.given or {}
  level.given[#level.given + 1] = job
  level.running = level.running + 1
  level.urgent_run = urgent and level.urgent_run + 1 or 0
end

-- Gives a channel's next job out. Returns nothing when the channel turns out to have none.
local function give(sv, ch, class)
  local job, attempts, l
  if ch.paused_by then
    repeat job = int(-redis.call('INCR', PROBES)) until redis.call('HEXISTS', HELD, job) == 0
    attempts = 0
    add_row(job, 1, PROBE, ch.id, spacing(ch), true)
  else
    local from = class == 'u' and yields(ch) and has_work(ch, 'b') and 'b' or class
    job, attempts, l = take(ch, from)
    if not job then return false end
    count(l, 'running', 1)
    count(l, 'calls', 1)
    add_row(job, attempts + 1, l.sync, ch.id, spacing(ch), l.urgent)
  end
  local urgent = not l or l.urgent
  if not urgent then bulk_left = bulk_left - 1 end
  note_given(ch, job, urgent)
  note_given(sv, job, urgent)
  return true
end

-- Gives a channel its place in a round: by tags, those of one tag by their names. `ids` is kept from the last to the first.
local function seat(round, id, tag)
  local ids, tags = round.ids, round.tags
  local low, high = 0, #ids -- so many surely stand behind it, so many perhaps
  while low < high do
    local middle = math.floor((low + high + 1) / 2)
    local other = ids[middle]
    if tags[other] > tag or (tags[other] == tag and other > id) then low = middle else high = middle - 1 end
  end
  table.insert(ids, low + 1, id)
  tags[id], round.moved[id], round.gone[id] = tag, true, nil
end

local function write_round(round)
  local moved, gone = {}, {}
  for id in pairs(round.moved) do
    moved[#moved + 1] = int(round.tags[id])
    moved[#moved + 1] = id
  end
  for id in pairs(round.gone) do gone[#gone + 1] = id end
  if #moved > 0 then redis.call('ZADD', round.key, unpack(moved)) end
  if #gone > 0 then redis.call('ZREM', round.key, unpack(gone)) end
end

-- The first channels of a server's round, read once and written back when all is given. Those that were not read come behind those
-- that were and have not moved; when all of these have, the round is read anew.
local function round_of(sv, class)
  local round = sv.rounds and sv.rounds[class]
  if round and (round.whole or round.unmoved > 0) then return round end
  if round then write_round(round) else promote(sv, class) end
  local key, most = ROUND .. class .. ':' .. sv.id, math.max(1, math.min(max - claimed, ROUND_READ))
  local rows = redis.call('ZRANGE', key, '0', int(most - 1), 'WITHSCORES')
  round = { key = key, ids = {}, tags = {}, moved = {}, gone = {}, unmoved = #rows / 2, whole = #rows / 2 < most }
  for i = #rows - 1, 1, -2 do
    round.ids[#round.ids + 1] = rows[i]
    round.tags[rows[i]] = tonumber(rows[i + 1])
  end
  sv.rounds = sv.rounds or {}
  sv.rounds[class] = round
  return round
end

-- Gives one job of a server's round out, of the channel whose turn it is.
local function pick_from(sv, class)
  while true do
    local round = round_of(sv, class)
    local id = table.remove(round.ids)
    if not id then return false end
    local ch, tag = channel(id), round.tags[id]
    if not round.moved[id] then round.unmoved = round.unmoved - 1 end
    round.moved[id], round.gone[id] = nil, true
    local own = channel_slot(ch, class)
    if own and own <= now and give(sv, ch, class) then
      sv.v[class] = math.max(sv.v[class], tag)
      ch.tag[class] = tag + math.floor(SERVICE / ch.weight)
      own = channel_slot(ch, class)
      if ch.known and own and own <= now then seat(round, id, math.max(ch.tag[class], sv.v[class])) end
      ch.served = true
      return true
    end -- place() finds where it belongs
  end
end

local function pick(sv, class)
  local slot = server_slot(sv)
  if not slot or slot > now then return false end
  if class == 'u' and yields(sv) and pick_from(sv, 'b') then return true end
  return pick_from(sv, class)
end

-- Goes round the servers whose time has come, earliest first, until enough is claimed or nothing is left.
local picks = 0
local function serve(class)
  local ring, at = {}, 1
  local ready = redis.call('ZRANGEBYSCORE', READY .. class, '-inf', int(now), 'LIMIT', '0', '1000')
  for i, id in ipairs(ready) do ring[i] = { id = id } end
  while ring[at] and claimed < max and (class == 'u' or bulk_left > 0) do
    local visit = ring[at]
    local sv = server(visit.id)
    visit.turn = visit.turn or sv.weight
    if pick(sv, class) then
      picks = picks + 1
      sv.picked = picks
      visit.turn = visit.turn - 1
      if visit.turn == 0 then
        ring[#ring + 1] = { id = visit.id }
        at = at + 1
      end
    else
      at = at + 1
    end
  end
end

-- Served in this order, servers stand in this order behind all who have waited longer.
local function mark_served()
  for _, sv in pairs(servers) do
    if sv.picked then sv.served = now - picks + sv.picked end
  end
end

local function hold_rows()
  if claimed == 0 then return end
  given = int(ticket)
  redis.call('SET', TICKET, given)
  local holds, leases, jobs, ends = {}, {}, {}, int(now + lease_us)
  for n = HEAD + 1, #answer, ROW do
    local job, at = answer[n], 2 * #jobs
    jobs[#jobs + 1] = job
    holds[at + 1], holds[at + 2] = job, hold_value(answer[n + 2], answer[n + 1], answer[n + 3], given)
    leases[at + 1], leases[at + 2] = ends, job
  end
  for _, levels in ipairs({ channels, servers }) do
    for _, level in pairs(levels) do
      if level.given then redis.call('SADD', RUNNING .. level.id, unpack(level.given)) end
    end
  end
  redis.call('HSET', HELD, unpack(holds))
  redis.call('ZADD', LEASES, unpack(leases))
  redis.call('SET', ANSWER .. asker, number .. ' ' .. given .. ' ' .. table.concat(jobs, ' '),
    'PX', math.max(1, math.ceil(lease_us / 1000)))
end

-- What keeps the first server in line from giving more now.
local function what_binds(id)
  local sv = server(id)
  local slot, why = server_slot(sv)
  local level = 'server'
  if slot and slot <= now then
    level = 'channel'
    for _, class in ipairs(CLASSES) do
      local first = redis.call('ZRANGE', DUE .. class .. ':' .. id, '0', '0')[1]
      if first then _, why = channel_slot(channel(first), class) end
    end
  end
  return (why == 'cooldown' or why == 'session') and 'cooldown' or 'rate', level
end

-- One worker is told the time of the next slot; the others are told to look a little later, in case it does not come. So
-- a slot costs one claim and not one per worker.
local function promised(at)
  local promise = at .. ' ' .. asker
  local standing = redis.call('GET', PROMISED) or ''
  if standing ~= promise and string.match(standing, '^(%d+)') == at then return int(at + STAND_IN_US) end
  local kept_ms = math.max(0, (at - now) / 1000) + PROMISE_KEPT_MS
  if standing ~= promise then redis.call('SET', PROMISED, promise, 'PX', int(kept_ms)) end
  return at
end

-- Until the next claim of this worker can succeed, and what holds the shard back.
local function outlook()
  local at, first
  for _, class in ipairs(CLASSES) do
    local head = redis.call('ZRANGE', READY .. class, '0', '0', 'WITHSCORES')
    local score = tonumber(head[2])
    if score and (class == 'u' or bulk_left > 0) and (not at or score < at) then at, first = score, head[1] end
  end
  if at and at > now then at = tonumber(promised(int(at))) end
  for _, key in ipairs({ DELAYED, LEASES }) do
    local score = tonumber(redis.call('ZRANGE', key, '0', '0', 'WITHSCORES')[2])
    if score and (not at or score < at) then at = score end
  end
  local why, level = '', ''
  if claimed < max and bulk_left > 0 then
    if first then
      why, level = what_binds(first)
    elseif redis.call('HLEN', QUEUED) > 0 then
      why = 'channel'
    else
      why = 'idle'
    end
  end
  return at and int(math.max(0, at - now)) or '-1', why, level
end

if ARGV[7] == '1' then repeat_answer() end
if not given then
  promote_due()
  recover_expired()
  place_all()
  serve('u')
  serve('b')
  for _, l in pairs(lanes) do put_back_rest(l) end
  for _, sv in pairs(servers) do
    for _, round in pairs(sv.rounds or {}) do write_round(round) end
  end
  hold_rows()
  mark_served()
  save_numbers()
  place_all()
  -- Whoever got all that could be had needs no help; otherwise others should come for what was promoted or recovered.
  if claimed == max or bulk_left == 0 then wake() end
end
answer[3] = given or '0'
answer[4], answer[5], answer[6] = outlook()
return answer
