-- Change and read a person's session, and count a message of theirs.
--
-- KEYS[1]  rooms     sorted set: the rooms, by when they were joined (ms)
-- KEYS[2]  choice    the ids of the chosen seats, as JSON
-- KEYS[3]  messages  when the message limit is whole again (ms)
-- KEYS[4]  sockets   see person_sockets.lua; only its time to live is extended
-- ARGV[1]  time to live, s
-- ARGV[2]  how many rooms are kept at most
-- ARGV[3]  the ids of the seats chosen now, as JSON, or '' to leave them
-- ARGV[4]  a room that was left, or ''
-- ARGV[5]  '1' if the rooms were joined now, '0' to keep the order of known ones
-- ARGV[6]  how many messages a person may send at once; '0' to count none
-- ARGV[7]  time in which one more message is allowed, ms
-- ARGV[8..]  rooms that were joined
-- Returns  {1, the chosen seats as JSON or false, the rooms, the oldest first}, or {0, false, {}}
--          if the message is one too many: then nothing changed
--
-- Atomic because a person may have several sockets, on several instances.

local ROOMS, CHOICE, MESSAGES, SOCKETS, TTL = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]
local burst, gap = tonumber(ARGV[6]), tonumber(ARGV[7])

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

if burst > 0 then
    local busy = math.max(now, tonumber(redis.call('GET', MESSAGES) or 0))
    if busy - now > (burst - 1) * gap then
        return {0, false, {}}
    end
    redis.call('SET', MESSAGES, busy + gap, 'PX', burst * gap)
end
for position = 8, #ARGV do
    if ARGV[5] == '1' or not redis.call('ZSCORE', ROOMS, ARGV[position]) then
        redis.call('ZADD', ROOMS, now, ARGV[position])
    end
end
if ARGV[4] ~= '' then
    redis.call('ZREM', ROOMS, ARGV[4])
end
if ARGV[3] ~= '' then
    redis.call('SET', CHOICE, ARGV[3])
end
redis.call('ZREMRANGEBYRANK', ROOMS, 0, -1 - ARGV[2])
for _, key in ipairs({ROOMS, CHOICE, SOCKETS}) do
    redis.call('EXPIRE', key, TTL)
end
return {1, redis.call('GET', CHOICE), redis.call('ZRANGE', ROOMS, 0, -1)}
