-- Add to and read the list of active events, which have a line or are paused, for all instances.
--
-- KEYS[1]  sorted set: events, by when an instance last named them (ms); paused ones, by when the
--          pause ends at the latest
-- ARGV[1]  time after which an event that nobody names is dropped, ms
-- ARGV[2]  the longest time that an event can be listed, ms
-- ARGV[3..]  events that this instance names
-- Returns  all events of the list
--
-- A script because it needs Redis' clock.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for position = 3, #ARGV do
    if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[position]) or 0) < now then
        redis.call('ZADD', KEYS[1], now, ARGV[position])
    end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
if #ARGV > 2 then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return redis.call('ZRANGE', KEYS[1], 0, -1)
