-- How often levels with caps were called in this minute and in the one before. Changes nothing.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)
--     [2+] at most 200 groups of (server, channel, or '' for the server itself)
-- Returns  { } when the shard has no life, because nothing is known then; else for each level that has a cap
--          { its place among the groups (from 0), minute (since the Unix epoch), calls in it, calls in the one before,
--            calls per second that its rate allows, whether it has work (0, 1), ... }

local GROUP, MOST, MINUTE_US = 2, 200, 60 * 1000000

if (#ARGV - 1) % GROUP ~= 0 or #ARGV > 1 + GROUP * MOST then
  return redis.error_reply('ERR count_calls: not 0 to 200 groups of two')
end
if not life() then return {} end

-- How many of a list of times, latest first, are not before `from`.
local function called_since(id, from)
  local low, high = 0, redis.call('LLEN', CALLS .. id)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if tonumber(redis.call('LINDEX', CALLS .. id, middle)) >= from then low = middle + 1 else high = middle end
  end
  return low
end

local minute = math.floor(now / MINUTE_US)
local answer = {}
for i = 2, #ARGV, GROUP do
  local server_id, id = ARGV[i], ARGV[i + 1]
  local level = id == '' and server(server_id) or channel(id)
  if #level.windows > 1 then
    local this = called_since(level.id, minute * MINUTE_US)
    local works = id == '' and redis.call('ZCARD', WORKING .. server_id) > 0 or redis.call('ZSCORE', WORKING .. server_id, id)
    for _, field in ipairs({
      int((i - 2) / GROUP), int(minute), int(this), int(called_since(level.id, (minute - 1) * MINUTE_US) - this),
      redis.call('HGET', level.key, 'rate') or '0', works and '1' or '0',
    }) do
      answer[#answer + 1] = field
    end
  end
end
return answer
