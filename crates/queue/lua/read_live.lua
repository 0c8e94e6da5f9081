-- What only the queue knows of a sync. Changes nothing.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)  [2] channel  [3] sync
-- Returns  { running, queued, delayed, state or '', retry_at (µs) or '', rate per second or '', why paused or '',
--          cooldown_until (µs), cooldown_reason or '', what binds: paused | concurrency | cooldown | rate | '' }

local ch = channel(ARGV[2])
local numbers = redis.call('HMGET', SYNC .. ARGV[3], 'running', 'queued', 'delayed', 'state')
local rule = redis.call('HMGET', CHANNEL .. ch.id, 'rate', 'cooldown_reason')
local slot, binds = earliest(ch)
if not ch.known or (slot and slot <= now) then binds = '' end
return {
  numbers[1] or '0', numbers[2] or '0', numbers[3] or '0', numbers[4] or '',
  redis.call('ZSCORE', DELAYED, ARGV[3]) or '', rule[1] or '', ch.paused or '',
  int(ch.cooldown_until), rule[2] or '', binds,
}
