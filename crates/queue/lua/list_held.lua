-- The jobs of a sync that workers hold now. Looks at what its channel has out, at most its concurrency. Changes nothing.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time, unused  [2] sync
-- Returns  their numbers, ascending

local jobs = {}
local id = redis.call('HGET', SYNC .. ARGV[2], 'channel')
for _, job in ipairs(id and held_jobs(id) or {}) do
  local held = hold(job)
  if held and held.sync == ARGV[2] then jobs[#jobs + 1] = job end
end
table.sort(jobs, function(a, b) return tonumber(a) < tonumber(b) end)
return jobs
