-- The shared part of the waiting room's scripts. It is put in front of each (LuaScript).
--
-- KEYS[1]  waiting   sorted set: users in line, by ticket number
-- KEYS[2]  seen      sorted set: users in line or inside, by their last sign of life (ms)
-- KEYS[3]  inside    sorted set: users inside, by when their stay ends at the latest (ms)
-- KEYS[4]  pace      hash: how fast places come free, and the numbers that were last announced
-- KEYS[5]  control   hash: what an admin set (threshold, paused)
-- KEYS[6]  left      sorted set: users who left, by until when they may have their place back (ms)
-- KEYS[7]  tickets   hash: what those users had: their score in `waiting` or in `inside`
-- ARGV[1]  threshold, unless an admin set another
-- ARGV[2]  how long a place, inside or in the line, lasts without a sign of life, ms
-- ARGV[3]  longest stay, whatever signs of life there are, ms
-- ARGV[4]  '', or where other programs hear the queue's events, as JSON: `channel`, and the sentences
--          for people, `allowed` and `ended`
--
-- All keys are of one event (same hash tag). Nobody is in `waiting` and `inside` at once, and `seen`
-- has exactly the users of both; `left` has none of them. A ticket number is the time of entering in
-- microseconds, or one more than the last one in line if that is more. So it also shows how long
-- someone has waited. Only whoever was inside, left, and is back when all places are taken, has the
-- end of their stay as ticket number: in milliseconds, so it is lower than all others.

local WAITING, SEEN, INSIDE, PACE, CONTROL = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local LEFT, TICKETS = KEYS[6], KEYS[7]

local BATCH = 1000 -- users that one call moves at most, so that no other call waits long
local WINDOW_FREED, WINDOW_MS = 100, 30000 -- the pace is measured over at least so many places and ms
local MAX_GAP_MS = 5000 -- a longer gap between two rounds of admissions is not counted as measured time
local MIN_FREED = 20 -- places that must have come free before the measured pace is used

local CONTROL_TTL_MS = 30 * 24 * 3600 * 1000 -- of the control key, from an admin's last call

local TTL_MS = 2 * ARGV[2] + 60000 -- longer than a place lasts without a sign of life

local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)
local silence, longest = tonumber(ARGV[2]), tonumber(ARGV[3])

-- The end of a stay that begins now. Releases without a longest stay wrote whole milliseconds to
-- `inside`: the end without a further sign of life. The half distinguishes our ends from those.
local latest = now + longest + 0.5

local decided = redis.call('HMGET', CONTROL, 'threshold', 'paused')
local threshold = tonumber(decided[1] or ARGV[1])
local paused = decided[2] == '1'

-- Restore a pause that Redis lost with its memory, if the caller knows of it (known is '1') and no
-- admin set anything since.
local function restore_pause(known)
    if known == '1' and not decided[2] then
        redis.call('HSET', CONTROL, 'paused', 1)
        redis.call('PEXPIRE', CONTROL, CONTROL_TTL_MS)
        paused = true
    end
end

-- Record a sign of life of a user in the key `where`. The keys expire when nobody gives one any more.
local function seen(user, where)
    redis.call('ZADD', SEEN, now, user)
    redis.call('PEXPIRE', SEEN, TTL_MS)
    redis.call('PEXPIRE', where, TTL_MS)
end

-- Count for the pace places that came free while people waited and time was measured. Places over
-- the threshold do not count, as nobody can take them.
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

local relay_to = ARGV[4] ~= '' and cjson.decode(ARGV[4])

-- Publish an event of a user for other programs, if there are any.
local function relay(event, user, message)
    local event_id = string.match(WAITING, '{(.-)}')
    local payload = {eventId = event_id, userId = user, message = message}
    redis.call('PUBLISH', relay_to.channel, cjson.encode({event = event, payload = payload}))
end

-- Take away the places of users, BATCH at most, and count the freed places inside.
local function let_go(users)
    if #users > 0 then
        redis.call('ZREM', WAITING, unpack(users))
        redis.call('ZREM', SEEN, unpack(users))
        count_freed(redis.call('ZREM', INSIDE, unpack(users)))
    end
end

-- Let users go, BATCH at most, and tell other programs of the stays that end by it.
local function end_places(users)
    for _, user in ipairs(relay_to and users or {}) do
        if redis.call('ZSCORE', INSIDE, user) then
            relay('queue-stay-ended', user, relay_to.ended)
        end
    end
    let_go(users)
end

-- Let users go whose stay has reached its longest, inside or back in line, then those who are
-- silent, BATCH of each at most. Returns whether there may be more.
local function sweep()
    -- Changes nothing. But only a script that has begun to write may go on when Redis is full.
    redis.call('HDEL', PACE, '')
    local more = false
    local last_scores = {{INSIDE, now}, {WAITING, now}, {SEEN, now - silence}}
    for _, range in ipairs(last_scores) do
        local over = redis.call('ZRANGEBYSCORE', range[1], '-inf', range[2], 'LIMIT', 0, BATCH)
        end_places(over)
        more = more or #over == BATCH
    end
    return more
end

-- Take a sign of life of a user, if they have a place. Returns their status, or nil.
local function renew(user)
    local ends = redis.call('ZSCORE', INSIDE, user)
    if ends then
        if ends % 1 == 0 then -- an earlier release's, see `latest`
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

-- Whether a score is the end of a stay (ms), and not a ticket number (microseconds).
local function is_end(score)
    return score < 2 * now
end

-- What a user had who left and may have it back: their ticket number, or the end of their stay if
-- they were inside. Else nil.
local function old_ticket(user)
    if tonumber(redis.call('ZSCORE', LEFT, user) or 0) <= now then
        return nil
    end
    local ticket = tonumber(redis.call('HGET', TICKETS, user) or 0)
    return ticket > now and ticket or nil
end

-- Forget what users had who left.
local function forget(users)
    if #users > 0 then
        redis.call('ZREM', LEFT, unpack(users))
        redis.call('HDEL', TICKETS, unpack(users))
    end
end

-- Give a user who has none a place in `where`.
local function put(user, where, score)
    redis.call('ZADD', where, score, user)
    seen(user, where)
    forget({user})
end

-- Let a user in again who was inside when they left, if there is room: before those who wait, and
-- also while the event is paused. Their stay ends when it would have. Returns whether they are in.
local function let_back_in(user)
    local ends = old_ticket(user)
    if not ends or not is_end(ends) or redis.call('ZCARD', INSIDE) >= threshold then
        return false
    end
    put(user, INSIDE, ends)
    return true
end

-- Let a user in who has no place, if there is room and nobody waits, or they were inside just now.
-- Returns whether they are in.
local function let_in(user)
    if let_back_in(user) then
        return true
    end
    if paused or redis.call('ZCARD', WAITING) > 0 or redis.call('ZCARD', INSIDE) >= threshold then
        return false
    end
    put(user, INSIDE, latest)
    return true
end

-- The time since the last round of admissions in which people waited; 0 if it is over MAX_GAP_MS.
local function passed_since(at)
    local passed = now - tonumber(at or now)
    return passed >= 0 and passed < MAX_GAP_MS and passed or 0
end

-- Places that come free each second, as measured. Before enough was measured: the threshold by the
-- time that a stay lasts without a sign of life. Never less than the threshold by the longest stay.
local function pace()
    local slowest = threshold * 1000 / longest
    local measured =
        redis.call('HMGET', PACE, 'freed', 'busy', 'earlier_freed', 'earlier_busy', 'at')
    local freed = tonumber(measured[1] or 0) + tonumber(measured[3] or 0)
    local busy = tonumber(measured[2] or 0) + tonumber(measured[4] or 0)
    busy = busy + passed_since(measured[5])
    if busy > 0 and (freed >= MIN_FREED or busy >= 2 * silence) then
        return math.max(freed * 1000 / busy, slowest)
    end
    return math.max(threshold * 1000 / silence, slowest)
end

-- The numbers of the room, as the pace remembers which of them were announced last.
local function numbers(line, inside)
    return table.concat({line, inside, threshold}, ' ')
end

-- A user's place: {status, position (0 unless queued), estimated wait in whole seconds, people
-- waiting, people inside, threshold, when the stay ends at the latest (ms, 0 unless inside)}.
local function place(user)
    local line, inside = redis.call('ZCARD', WAITING), redis.call('ZCARD', INSIDE)
    local rank = redis.call('ZRANK', WAITING, user)
    if rank then
        local ahead = rank + 1 - math.max(0, threshold - inside)
        if inside > threshold then -- it was lowered: first those over it must leave
            ahead = ahead + threshold * math.log(inside / threshold)
        end
        local wait = math.max(1, math.floor(ahead / pace() + 0.5))
        return {'queued', rank + 1, wait, line, inside, threshold, 0}
    end
    local ends = redis.call('ZSCORE', INSIDE, user)
    local status = ends and 'active' or 'not_in_queue'
    return {status, 0, 0, line, inside, threshold, math.floor(ends or 0)}
end
