-- Report who joined an event on an instance and who left, and count the people on all instances.
--
-- KEYS[1]  people     hash: user → on how many instances they are
-- KEYS[2]  instances  sorted set: instance → when it last called (ms)
-- KEYS[3]  told       hash: the count that was last announced, and when
-- KEYS[4]  at:        prefix of the sets of users on one instance
--                     (all keys are of one event: same hash tag)
-- ARGV[1]  the calling instance
-- ARGV[2]  time after which an instance that did not call counts as dead, ms
-- ARGV[3]  shortest time between two announcements, ms
-- ARGV[4]  '1' if the users who joined are all who are there
-- ARGV[5]  how many users joined
-- ARGV[6..]  users who joined, then users who left
-- Returns  {people, 1 if the count differs from the one that was last announced, 1 if it is to be
--          announced now}, or {-1, 0, 0} if this instance counted as dead or Redis lost its report:
--          then it must report everyone
--
-- Atomic because a user who changes instances must be counted once, and a dead instance's users
-- taken off once.

local PEOPLE, INSTANCES, TOLD, AT = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local me, dead_after = ARGV[1], tonumber(ARGV[2])

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function remove(instance_set, user)
    if redis.call('SREM', instance_set, user) == 1 and redis.call('HINCRBY', PEOPLE, user, -1) <= 0 then
        redis.call('HDEL', PEOPLE, user)
    end
end

for _, instance in ipairs(redis.call('ZRANGEBYSCORE', INSTANCES, '-inf', now - dead_after)) do
    for _, user in ipairs(redis.call('SMEMBERS', AT .. instance)) do
        remove(AT .. instance, user)
    end
    redis.call('ZREM', INSTANCES, instance)
end

if ARGV[4] ~= '1' and not redis.call('ZSCORE', INSTANCES, me) then
    return {-1, 0, 0}
end

local joined = tonumber(ARGV[5])
for position = 6, #ARGV do
    local user = ARGV[position]
    if position - 5 > joined then
        remove(AT .. me, user)
    elseif redis.call('SADD', AT .. me, user) == 1 then
        redis.call('HINCRBY', PEOPLE, user, 1)
    end
end
if redis.call('EXISTS', AT .. me) == 1 then
    redis.call('ZADD', INSTANCES, now, me)
else
    redis.call('ZREM', INSTANCES, me)
end

local people = redis.call('HLEN', PEOPLE)
local told = redis.call('HMGET', TOLD, 'people', 'at')
local changed = tonumber(told[1] or 0) ~= people
local announce = changed and now - tonumber(told[2] or 0) >= tonumber(ARGV[3])
if announce then
    redis.call('HSET', TOLD, 'people', people, 'at', now)
end
for _, key in ipairs({PEOPLE, INSTANCES, TOLD, AT .. me}) do
    redis.call('PEXPIRE', key, 3 * dead_after)
end
return {people, changed and 1 or 0, announce and 1 or 0}
