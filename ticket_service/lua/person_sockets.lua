-- Report how many sockets a person has on an instance, unless that makes too many.
--
-- KEYS[1]  sockets  hash: instance → how many sockets of the person it has, and when it reported (ms)
-- KEYS[2]  rooms    see session.lua; only its time to live is extended
-- KEYS[3]  choice   the same
-- ARGV[1]  the calling instance
-- ARGV[2]  how many it has now
-- ARGV[3]  how many the person may have over all instances
-- ARGV[4]  time after which an instance that did not report counts as dead, ms
-- ARGV[5]  time to live, s
-- ARGV[6..]  the instances that are alive, see instances.lua. Sockets of others do not count, unless
--            they reported within ARGV[4]: they may just have started
-- Returns  {1, or 0 if there are more than before and too many: then nothing changed;
--          1 if `rooms` exists}
--
-- Atomic because a person may connect to several instances at once. The report is a count, not a
-- change of it, so the next report makes up for a lost one.

local SOCKETS, me, here = KEYS[1], ARGV[1], tonumber(ARGV[2])

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local alive = {}
for position = 6, #ARGV do
    alive[ARGV[position]] = true
end

local before, elsewhere = 0, 0
local counts = redis.call('HGETALL', SOCKETS)
for position = 1, #counts, 2 do
    local instance = counts[position]
    local count, reported_at = string.match(counts[position + 1], '(%d+) (%d+)')
    if instance == me then
        before = tonumber(count)
    elseif alive[instance] or now - reported_at < tonumber(ARGV[4]) then
        elsewhere = elsewhere + count
    else
        redis.call('HDEL', SOCKETS, instance)
    end
end

if here > before and here + elsewhere > tonumber(ARGV[3]) then
    return {0, 0}
end
if here > 0 then
    redis.call('HSET', SOCKETS, me, string.format('%d %d', here, now))
else
    redis.call('HDEL', SOCKETS, me)
end
redis.call('EXPIRE', SOCKETS, ARGV[5])
redis.call('EXPIRE', KEYS[3], ARGV[5])
return {1, redis.call('EXPIRE', KEYS[2], ARGV[5])}
