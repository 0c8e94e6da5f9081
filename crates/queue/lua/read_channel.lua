-- A channel as the queue sees it. Changes nothing.
--
-- KEYS[1]  the shard's prefix
-- ARGV[1]  time (µs, 0 = clock of Redis)  [2] channel
-- Returns  {} when the queue does not know it, else { why paused or '', cooldown_until (µs), cooldown_reason or '',
--          cooldown_detail or '', running, rate per second, next_slot (µs) or '' }

local ch = channel(ARGV[2])
if not ch.known then return {} end
local rule = redis.call('HMGET', CHANNEL .. ch.id, 'cooldown_reason', 'cooldown_detail', 'rate')
local slot = earliest(ch)
return {
  ch.paused or '', int(ch.cooldown_until), rule[1] or '', rule[2] or '', int(ch.running), rule[3],
  slot and int(math.max(slot, now)) or '',
}
