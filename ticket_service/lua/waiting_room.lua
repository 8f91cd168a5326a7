-- What the scripts of the waiting room have in common; it is put in front of each.
--
-- KEYS[1]  waiting   sorted set: who waits, by ticket number
-- KEYS[2]  seen      sorted set: who waits, by when he was last seen (ms)
-- KEYS[3]  inside    sorted set: who is inside, by when his stay ends (ms)
-- KEYS[4]  pace      hash: how fast places come free, and what the watchers were last told
-- KEYS[5]  control   hash: what an admin decided (threshold, paused)
-- ARGV[1]  threshold that holds where no admin set another
-- ARGV[2]  length of a stay, and of a wait without a sign of life, ms
--
-- All keys are of one event (same hash tag). Nobody is ever in `waiting` and `inside` at once, and
-- whoever is in `waiting` is in `seen`. A ticket number is the moment of entering in microseconds,
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
local stay = tonumber(ARGV[2])

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

-- Give people a place; the keys vanish by themselves when nobody comes any more.
local function put_inside(...)
    redis.call('ZADD', INSIDE, ...)
    redis.call('PEXPIRE', INSIDE, TTL_MS)
end

local function seen(user)
    redis.call('ZADD', SEEN, now, user)
    redis.call('PEXPIRE', SEEN, TTL_MS)
    redis.call('PEXPIRE', WAITING, TTL_MS)
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

-- Let go whose time is over. More silent people than a batch are left for the next call.
local function sweep()
    count_freed(redis.call('ZREMRANGEBYSCORE', INSIDE, '-inf', now))
    local silent = redis.call('ZRANGEBYSCORE', SEEN, '-inf', now - stay, 'LIMIT', 0, BATCH)
    if #silent > 0 then
        redis.call('ZREM', WAITING, unpack(silent))
        redis.call('ZREM', SEEN, unpack(silent))
    end
    return #silent == BATCH
end

-- Give someone who has a place a new lease of it; his status, or nil.
local function renew(user)
    if redis.call('ZSCORE', INSIDE, user) then
        put_inside(now + stay, user)
        return 'active'
    end
    if redis.call('ZSCORE', WAITING, user) then
        seen(user)
        return 'queued'
    end
    return nil
end

-- Let someone in who has no place, if nobody waits and there is room; whether he is in.
local function let_in(user)
    if paused or redis.call('ZCARD', WAITING) > 0 or redis.call('ZCARD', INSIDE) >= threshold then
        return false
    end
    put_inside(now + stay, user)
    return true
end

-- The time since people were seen to wait; none if that was so long ago that nobody looked.
local function passed_since(at)
    local passed = now - tonumber(at or now)
    return passed >= 0 and passed < FAR_MS and passed or 0
end

-- Places that come free a second: measured, or as long as too little is, all of them once a stay.
local function pace()
    local measured =
        redis.call('HMGET', PACE, 'freed', 'busy', 'earlier_freed', 'earlier_busy', 'at')
    local freed = tonumber(measured[1] or 0) + tonumber(measured[3] or 0)
    local busy = tonumber(measured[2] or 0) + tonumber(measured[4] or 0)
    busy = busy + passed_since(measured[5])
    if busy > 0 and (freed >= ENOUGH_FREED or busy >= 2 * stay) then
        return math.max(freed, 1) * 1000 / busy
    end
    return threshold * 1000 / stay
end

-- Where someone stands: status, position (0 unless queued), estimated wait in whole seconds,
-- people waiting, people inside, threshold.
local function place(user)
    local line, inside = redis.call('ZCARD', WAITING), redis.call('ZCARD', INSIDE)
    local rank = redis.call('ZRANK', WAITING, user)
    if rank then
        local ahead = rank + 1 - math.max(0, threshold - inside)
        if inside > threshold then -- after it was lowered: those over it leave in so many stays
            ahead = ahead + threshold * math.log(inside / threshold)
        end
        local wait = math.max(1, math.floor(ahead / pace() + 0.5))
        return {'queued', rank + 1, wait, line, inside, threshold}
    end
    local status = redis.call('ZSCORE', INSIDE, user) and 'active' or 'not_in_queue'
    return {status, 0, 0, line, inside, threshold}
end
