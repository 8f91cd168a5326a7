-- Report that an instance is alive, and list those that are.
--
-- KEYS[1]  instances  sorted set: instance → when it last called (ms)
-- ARGV[1]  the calling instance
-- ARGV[2]  time after which an instance that did not call counts as dead, ms
-- Returns  the instances that are alive
--
-- Atomic so that every later answer has the caller.

local INSTANCES, dead_after = KEYS[1], tonumber(ARGV[2])

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

redis.call('ZADD', INSTANCES, now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', INSTANCES, '-inf', now - dead_after)
redis.call('PEXPIRE', INSTANCES, dead_after)
return redis.call('ZRANGE', INSTANCES, 0, -1)
