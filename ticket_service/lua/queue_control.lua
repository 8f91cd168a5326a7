-- Read a waiting room's numbers for an admin, and set its threshold or its pause.
--
-- KEYS, ARGV[1..4]  see waiting_room.lua
-- ARGV[5]  new threshold, or '' to leave it
-- ARGV[6]  '1' to pause, '0' to end a pause, '' to leave it
-- Returns  {people waiting, people inside, threshold, 1 if paused, places that come free a second
--          (text), seconds that the first in line has waited}
--
-- Atomic because the answer must show the effect of the change.

sweep()
if ARGV[5] ~= '' then
    -- The pace is proportional to the threshold, so scale what was measured.
    local measured = redis.call('HMGET', PACE, 'freed', 'earlier_freed')
    for position, field in ipairs({'freed', 'earlier_freed'}) do
        if measured[position] then
            redis.call('HSET', PACE, field, math.floor(measured[position] * ARGV[5] / threshold))
        end
    end
    threshold = tonumber(ARGV[5])
    redis.call('HSET', CONTROL, 'threshold', threshold)
end
if ARGV[6] ~= '' then
    paused = ARGV[6] == '1'
    redis.call('HSET', CONTROL, 'paused', ARGV[6])
    redis.call('HDEL', PACE, 'at') -- a pause does not count as time without free places
end
redis.call('PEXPIRE', CONTROL, CONTROL_TTL_MS)
-- The first who waits since they entered, and is not back with the rest of a stay.
local first = redis.call(
    'ZRANGEBYSCORE', WAITING, 2 * now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
local waited = first and math.floor((now_us - tonumber(first)) / 1000000) or 0
return {
    redis.call('ZCARD', WAITING), redis.call('ZCARD', INSIDE), threshold, paused and 1 or 0,
    string.format('%.4f', pace()), math.max(0, waited),
}
