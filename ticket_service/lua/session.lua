-- Change and read where a person was last.
--
-- KEYS[1]  rooms   sorted set: the rooms, by when they were joined (ms)
-- KEYS[2]  choice  the seats that were chosen, as JSON; only ids that were checked
-- ARGV[1]  the time, ms: only to put the rooms in order
-- ARGV[2]  time to live, s
-- ARGV[3]  how many rooms are kept at most
-- ARGV[4]  the seats chosen now, as JSON, or '' to leave them
-- ARGV[5]  a room that was left, or ''
-- ARGV[6]  '1' when the rooms were joined now, '0' when they keep their order
-- ARGV[7..]  rooms that were joined
-- Returns  {the chosen seats as JSON or false, the rooms, the oldest first}
--
-- Atomic because a person may have several sockets, on several instances.

local ROOMS, CHOICE, TTL = KEYS[1], KEYS[2], ARGV[2]

for position = 7, #ARGV do
    if ARGV[6] == '1' or not redis.call('ZSCORE', ROOMS, ARGV[position]) then
        redis.call('ZADD', ROOMS, ARGV[1], ARGV[position])
    end
end
if ARGV[5] ~= '' then
    redis.call('ZREM', ROOMS, ARGV[5])
end
if ARGV[4] ~= '' then
    redis.call('SET', CHOICE, ARGV[4])
end
redis.call('ZREMRANGEBYRANK', ROOMS, 0, -1 - ARGV[3])
redis.call('EXPIRE', ROOMS, TTL)
redis.call('EXPIRE', CHOICE, TTL)
return {redis.call('GET', CHOICE), redis.call('ZRANGE', ROOMS, 0, -1)}
