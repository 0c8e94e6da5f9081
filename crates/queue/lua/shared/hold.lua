-- Shared: who holds a job.
-- The ticket is the time of the claim, made unique. It fences: a job between two calls keeps its attempt number, so the
-- number alone could not tell a late repetition from the claim that followed.
-- A look at a channel's session is held like a job; its number is below zero, and it is of no sync.

local PROBE = 'probe'

-- What a value of HELD says, or nil when nobody can read it: then the job counts as lost.
local function read_hold(value)
  -- A plain search is many times faster than a pattern over all of it.
  local bar = string.find(value or '', '|', 1, true)
  local attempt = bar and string.match(value, '^(%d+)|', bar + 1)
  local from = attempt and bar + #attempt + 2
  local to = from and string.find(value, '|', from, true)
  local ticket, permit
  if to then ticket, permit = string.match(value, '^(%d+)|?(%d*)$', to + 1) end
  if not ticket then return nil end
  local sync = string.sub(value, 1, bar - 1)
  return {
    sync = sync,
    attempt = tonumber(attempt),
    channel = string.sub(value, from, to - 1),
    ticket = ticket,
    at = tonumber(ticket),
    permit = permit ~= '' and permit or ticket, -- the time of its permits
    probe = sync == PROBE,
  }
end

local function hold(job)
  return read_hold(redis.call('HGET', HELD, job))
end

local function hold_value(sync, attempt, channel_id, ticket, permit)
  return sync .. '|' .. attempt .. '|' .. channel_id .. '|' .. ticket .. (permit and '|' .. int(permit) or '')
end

-- Whether somebody holds a job of the sync, whatever the slots say. Looks at all that is held: at most what all limits admit at once.
local function is_held(sync)
  for _, value in ipairs(redis.call('HVALS', HELD)) do
    if string.sub(value, 1, #sync + 1) == sync .. '|' then return true end
  end
  return false
end

-- How many jobs of a channel are held, whatever the slots say. Looks at all of them, too.
local function count_held(id)
  local count = 0
  for _, value in ipairs(redis.call('HVALS', HELD)) do
    if string.find(value, '|' .. id .. '|', 1, true) then count = count + 1 end
  end
  return count
end

-- The jobs that are held, by channel, whatever the slots say. Looks at all of them, too.
local function held_by_channel()
  local jobs = {}
  local all = redis.call('HGETALL', HELD)
  for i = 1, #all, 2 do
    local held = read_hold(all[i + 1])
    if held then
      jobs[held.channel] = jobs[held.channel] or {}
      table.insert(jobs[held.channel], all[i])
    end
  end
  return jobs
end

-- The jobs of a channel that are held: its slots, where they are as many as its number says; else all that is held is looked at.
local function held_jobs(id)
  local jobs = redis.call('SMEMBERS', RUNNING .. id)
  if #jobs == tonumber(redis.call('HGET', CHANNEL .. id, 'running') or nil) then return jobs end
  return held_by_channel()[id] or {}
end
