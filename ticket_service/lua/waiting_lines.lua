-- Keep the list of events whose waiting room wants looking after, for all instances.
--
-- KEYS[1]  sorted set: events, by when an instance last named them (ms)
-- ARGV[1]  time after which an event that nobody names is dropped, ms
-- ARGV[2..]  events that this instance names
-- Returns  all events of the list
--
-- Atomic because its time must be Redis' own.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for position = 2, #ARGV do
    redis.call('ZADD', KEYS[1], now, ARGV[position])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
if #ARGV > 1 then
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return redis.call('ZRANGE', KEYS[1], 0, -1)
