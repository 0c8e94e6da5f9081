-- Puts off the expiry of leases.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)
--     [2]  lease (µs)
--     [3+] at most 1,000 pairs of (job, ticket)
-- Returns  the jobs that are no longer held under their ticket

if #ARGV % 2 ~= 0 or #ARGV > 2002 then return redis.error_reply('ERR renew_leases: not 0 to 1000 pairs') end

local expiry, lost = int(now + ARGV[2]), {}
for i = 3, #ARGV, 2 do
  local held = hold(ARGV[i])
  if held and held.ticket == ARGV[i + 1] then
    redis.call('ZADD', LEASES, expiry, ARGV[i])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
