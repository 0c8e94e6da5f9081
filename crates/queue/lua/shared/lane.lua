-- Shared: the jobs of one sync, in their lane. Needs channel.lua and hold.lua.
-- An entry of a lane is `first-last` (jobs never attempted), `job:attempts`, or `job+attempts` (a job between two of
-- its calls: it goes on before anything else of its channel starts).

-- Bulk lanes behind urgent ones (see BULK_ORDER); each kind by the time of its opening (µs, about 1.8e15 today).
local BULK = 4e15
local GOING_ON = 2e15 -- a lane whose first job is between two calls ahead of the others of its kind

local lanes = {}

local function lane(sync)
  local l = lanes[sync]
  if l then return l end
  local f = redis.call('HMGET', SYNC .. sync, 'channel', 'state', 'urgent', 'opened', 'seq', 'life', 'partial', 'filling')
  l = {
    sync = sync,
    channel = f[1],
    state = f[2],
    alive = f[2] == 'open' or f[2] == 'paused',
    urgent = f[3] == '1',
    opened = tonumber(f[4] or 0),
    seq = tonumber(f[5] or nil),
    life = tonumber(f[6] or nil),
    partial = tonumber(f[7] or 0),
    filling = f[8], -- the token of whoever is putting it back in chunks
    -- what this call adds to the lane's numbers
    queued = 0, running = 0, calls = 0,
  }
  lanes[sync] = l
  return l
end

-- Reads an entry of a lane: its (first) job, the mark behind it, and the last job or the attempts; nil when nobody can.
local function read_entry(entry)
  local job, mark, rest = string.match(entry or '', '^(%d+)([-:+])(%d+)$')
  if mark == '-' and tonumber(job) > tonumber(rest) then return nil end
  return job, mark, rest
end

local function count(l, state, n)
  l[state] = l[state] + n
end

-- Puts a lane in its order among the lanes of its channel, or takes it out when nothing of it can be claimed.
local function file(l)
  channel(l.channel).has = nil
  local front = l.state == 'open' and redis.call('LINDEX', LANE .. l.sync, '0')
  if not front then
    redis.call('ZREM', LANES .. l.channel, l.sync)
    return
  end
  local order = l.opened
  if not l.urgent then order = order + BULK end
  if string.find(front, '+', 1, true) then order = order - GOING_ON end
  redis.call('ZADD', LANES .. l.channel, int(order), l.sync)
end

-- Back to the front of its lane; dropped when the lane is gone.
local function put_back(l, job, mark, attempts)
  if not l.alive then return end
  redis.call('LPUSH', LANE .. l.sync, job .. mark .. attempts)
  count(l, 'queued', 1)
  file(l)
end

-- Behind all that waits in its lane.
local function put_last(l, job, attempts)
  if not l.alive then return end
  redis.call('RPUSH', LANE .. l.sync, job .. ':' .. attempts)
  count(l, 'queued', 1)
  file(l)
end

-- Not before `due`; dropped when the lane is gone.
local function delay(l, job, attempts, due)
  if not l.alive then return end
  redis.call('ZADD', LATER .. l.sync, int(due), job .. ':' .. attempts)
  redis.call('ZADD', DELAYED, 'LT', int(due), l.sync)
end

-- Forgets the jobs of a lane that wait.
local function drop_waiting(l)
  l.queued = 0
  redis.call('HDEL', QUEUED, l.sync)
  redis.call('UNLINK', LANE .. l.sync, LATER .. l.sync)
  redis.call('ZREM', DELAYED, l.sync)
  if l.channel then
    channel(l.channel).has = nil
    redis.call('ZREM', LANES .. l.channel, l.sync)
  end
end

-- The server of a channel whose hash was lost, as far as that shows from a job of it that is held.
local function server_of_slot(job)
  for _, id in ipairs(redis.call('SMEMBERS', SERVERS)) do
    if redis.call('SISMEMBER', RUNNING .. id, job) == 1 then return id end
  end
  return ''
end

local released, freed = {}, {} -- jobs, and the same by level: written by let_go()

-- Whoever released jobs calls this before anything looks at who holds what.
local function let_go()
  for from = 1, #released, 1000 do
    local to = math.min(#released, from + 999)
    redis.call('HDEL', HELD, unpack(released, from, to))
    redis.call('ZREM', LEASES, unpack(released, from, to))
  end
  for id, jobs in pairs(freed) do
    for from = 1, #jobs, 1000 do
      redis.call('SREM', RUNNING .. id, unpack(jobs, from, math.min(#jobs, from + 999)))
    end
  end
  released, freed = {}, {}
end

local function free_slot(level, job)
  local jobs = freed[level.id]
  if not jobs then
    jobs = {}
    freed[level.id] = jobs
  end
  jobs[#jobs + 1] = job
  level.running, level.changed = math.max(0, level.running - 1), true
end

-- Takes a job from its holder.
local function release(job, held)
  released[#released + 1] = job
  if not held.probe then count(lane(held.sync), 'running', -1) end
  local ch = channel(held.channel)
  local sv = server(ch.server ~= '' and ch.server or server_of_slot(job))
  free_slot(ch, job)
  free_slot(sv, job)
  if not ch.known then -- its hash was lost: that it was called a moment ago must not be forgotten with its last slot
    let_go()
    note_loss(ch.key)
    if redis.call('EXISTS', RUNNING .. ch.id) == 0 then redis.call('ZREM', WORKING .. sv.id, ch.id) end
  end
  return ch, sv
end

-- The lane is over. For an hour it is known what it has heard, should something old come after all.
local function close(l, seq)
  drop_waiting(l)
  l.alive = false
  redis.call('SREM', ALIVE, l.sync)
  redis.call('DEL', SYNC .. l.sync)
  redis.call('HSET', SYNC .. l.sync, 'channel', l.channel, 'state', 'closed', 'seq', int(seq))
  redis.call('EXPIRE', SYNC .. l.sync, 3600)
end

local function save_numbers()
  for _, l in pairs(lanes) do
    for _, state in ipairs({ 'running', 'calls' }) do
      if l.alive and l[state] ~= 0 then redis.call('HINCRBY', SYNC .. l.sync, state, l[state]) end
      l[state] = 0
    end
    if l.alive and l.queued ~= 0 and redis.call('HINCRBY', QUEUED, l.sync, l.queued) <= 0 then
      redis.call('HDEL', QUEUED, l.sync)
    end
    l.queued = 0
  end
end
