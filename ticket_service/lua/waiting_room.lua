-- What the scripts of the waiting room have in common; it is put in front of each.
--
-- KEYS[1]  waiting   sorted set: who waits, by ticket number
-- KEYS[2]  seen      sorted set: who waits or is inside, by their last sign of life (ms)
-- KEYS[3]  inside    sorted set: who is inside, by when their stay ends at the latest (ms)
-- KEYS[4]  pace      hash: how fast places come free, and what the watchers were last told
-- KEYS[5]  control   hash: what an admin decided (threshold, paused)
-- ARGV[1]  threshold that holds where no admin set another
-- ARGV[2]  how long a stay, or a wait, lasts without a sign of life, ms
-- ARGV[3]  longest stay, whatever signs of life there are, ms
--
-- All keys are of one event (same hash tag). Nobody is ever in `waiting` and `inside` at once, and
-- whoever is in one of them is in `seen`, nobody else. A ticket number is the moment of entering in microseconds,
-- or one more than the last one's, if that is more: so it also tells how long someone has waited.

local WAITING, SEEN, INSIDE, PACE, CONTROL = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local BATCH = 1000 -- people that one call moves at most, so that no other call waits long
local WINDOW_FREED, WINDOW_MS = 100, 30000 -- the pace is measured over at least so much
local FAR_MS = 5000 -- without a look for so long, the time is not known to have been measured
local ENOUGH_FREED = 20 -- places that must have come free before there is a pace

local CONTROL_TTL_MS = 30 * 24 * 3600 * 1000 -- of what an admin decided, after one last looked

local TTL_MS = 2 * ARGV[2] + 60000 -- longer than anyone can stay without a sign of life

local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)
local silence, longest = tonumber(ARGV[2]), tonumber(ARGV[3])

-- The end of a stay that begins now. Versions before the longest stay wrote whole milliseconds to
-- `inside`: when a stay would end without a sign of life. The half tells their ends from ours.
local latest = now + longest + 0.5

local decided = redis.call('HMGET', CONTROL, 'threshold', 'paused')
local threshold = tonumber(decided[1] or ARGV[1])
local paused = decided[2] == '1'

-- Put a pause back that Redis lost with its memory, for a caller who knows ('1') that there was one.
-- What an admin decided since counts more.
local function restore_pause(known)
    if known == '1' and not decided[2] then
        redis.call('HSET', CONTROL, 'paused', 1)
        redis.call('PEXPIRE', CONTROL, CONTROL_TTL_MS)
        paused = true
    end
end

-- Note a sign of life of someone in `where`; the keys vanish when nobody gives one any more.
local function seen(user, where)
    redis.call('ZADD', SEEN, now, user)
    redis.call('PEXPIRE', SEEN, TTL_MS)
    redis.call('PEXPIRE', where, TTL_MS)
end

-- Count places that came free while people waited for them and the time was measured: what the
-- pace is made of. Neither filling room that was never taken nor emptying what is over the threshold
-- says anything about it.
local function count_freed(places)
    if places == 0 or paused or redis.call('HEXISTS', PACE, 'at') == 0 then
        return
    end
    places = math.min(places, threshold - redis.call('ZCARD', INSIDE))
    if places > 0 then
        redis.call('HINCRBY', PACE, 'freed', places)
        redis.call('PEXPIRE', PACE, TTL_MS)
    end
end

-- Take people's places away, a batch at most; the places inside come free.
local function let_go(users)
    if #users > 0 then
        redis.call('ZREM', WAITING, unpack(users))
        redis.call('ZREM', SEEN, unpack(users))
        count_freed(redis.call('ZREM', INSIDE, unpack(users)))
    end
end

-- Let go whose time is over: first whose stay was as long as it may be, then who is silent. Whether
-- there are more of either than a batch: they are left for the next call.
local function sweep()
    -- Changes nothing. But a script that has written may go on writing when Redis is full.
    redis.call('HDEL', PACE, '')
    local over = redis.call('ZRANGEBYSCORE', INSIDE, '-inf', now, 'LIMIT', 0, BATCH)
    let_go(over)
    local silent = redis.call('ZRANGEBYSCORE', SEEN, '-inf', now - silence, 'LIMIT', 0, BATCH)
    let_go(silent)
    return #over == BATCH or #silent == BATCH
end

-- Take a sign of life of someone who has a place; their status, or nil.
local function renew(user)
    local ends = redis.call('ZSCORE', INSIDE, user)
    if ends then
        if ends % 1 == 0 then -- not ours, see `latest`
            redis.call('ZADD', INSIDE, latest, user)
        end
        seen(user, INSIDE)
        return 'active'
    end
    if redis.call('ZSCORE', WAITING, user) then
        seen(user, WAITING)
        return 'queued'
    end
    return nil
end

-- Let someone in who has no place, if nobody waits and there is room; whether they are in.
local function let_in(user)
    if paused or redis.call('ZCARD', WAITING) > 0 or redis.call('ZCARD', INSIDE) >= threshold then
        return false
    end
    redis.call('ZADD', INSIDE, latest, user)
    seen(user, INSIDE)
    return true
end

-- The time since people were seen to wait; none if that was so long ago that nobody looked.
local function passed_since(at)
    local passed = now - tonumber(at or now)
    return passed >= 0 and passed < FAR_MS and passed or 0
end

-- Places that come free a second: measured, or as long as too little is, all of them in the time
-- that a stay lasts without a sign of life. Within the longest stay all of them come free.
local function pace()
    local slowest = threshold * 1000 / longest
    local measured =
        redis.call('HMGET', PACE, 'freed', 'busy', 'earlier_freed', 'earlier_busy', 'at')
    local freed = tonumber(measured[1] or 0) + tonumber(measured[3] or 0)
    local busy = tonumber(measured[2] or 0) + tonumber(measured[4] or 0)
    busy = busy + passed_since(measured[5])
    if busy > 0 and (freed >= ENOUGH_FREED or busy >= 2 * silence) then
        return math.max(freed * 1000 / busy, slowest)
    end
    return math.max(threshold * 1000 / silence, slowest)
end

-- Where someone stands: status, position (0 unless queued), estimated wait in whole seconds,
-- people waiting, people inside, threshold, when the stay ends at the latest (ms, 0 unless inside).
local function place(user)
    local line, inside = redis.call('ZCARD', WAITING), redis.call('ZCARD', INSIDE)
    local rank = redis.call('ZRANK', WAITING, user)
    if rank then
        local ahead = rank + 1 - math.max(0, threshold - inside)
        if inside > threshold then -- after it was lowered: those over it leave in so many stays
            ahead = ahead + threshold * math.log(inside / threshold)
        end
        local wait = math.max(1, math.floor(ahead / pace() + 0.5))
        return {'queued', rank + 1, wait, line, inside, threshold, 0}
    end
    local ends = redis.call('ZSCORE', INSIDE, user)
    local status = ends and 'active' or 'not_in_queue'
    return {status, 0, 0, line, inside, threshold, math.floor(ends or 0)}
end
