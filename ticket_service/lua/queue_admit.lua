-- Admit the next people in line, as many as there is room for, and publish who they are.
--
-- KEYS, ARGV[1..4]  see waiting_room.lua
-- ARGV[5]  time in which those admitted must give a sign of life, ms
-- ARGV[6]  channel to publish them on
-- ARGV[7]  event
-- ARGV[8]  shortest time between two announcements of the numbers, ms
-- ARGV[9]  '1' if the caller knows that the event is paused
-- Returns  {people admitted, 1 if there is more to do at once, people waiting, people inside,
--          threshold, 1 if these numbers are to be announced, 1 if paused}
--
-- Atomic because every instance runs it, and each person must be admitted once. Publishing is part
-- of it, so that an instance that dies right after the call leaves nobody untold.

restore_pause(ARGV[9])
local more = sweep()
local line, inside = redis.call('ZCARD', WAITING), redis.call('ZCARD', INSIDE)
local admitted = 0

if line > 0 and not paused then
    local last = redis.call('HMGET', PACE, 'at', 'freed', 'busy')
    local freed, busy = tonumber(last[2] or 0), tonumber(last[3] or 0) + passed_since(last[1])
    if freed >= WINDOW_FREED and busy >= WINDOW_MS then
        redis.call('HSET', PACE, 'earlier_freed', freed, 'earlier_busy', busy)
        freed, busy = 0, 0
    end
    redis.call('HSET', PACE, 'at', now, 'freed', freed, 'busy', busy)
    redis.call('PEXPIRE', PACE, TTL_MS)

    -- While people who are silent are left, the next in line may be one of them: sweep them first.
    -- Being admitted is no sign of life. So the last sign is dated back, to expire after ARGV[5].
    local room = more and 0 or math.min(threshold - inside, line, BATCH)
    if room > 0 then
        local users, signs, stays = {}, {}, {}
        local last_sign = now - silence + ARGV[5]
        local popped = redis.call('ZPOPMIN', WAITING, room)
        for position = 1, #popped, 2 do
            local user = popped[position]
            if relay_to then
                relay('queue-entry-allowed', user, relay_to.allowed)
            end
            users[#users + 1] = user
            signs[#signs + 1], signs[#signs + 2] = last_sign, user
            -- Who is back goes on with the rest of their stay: its end is their ticket number.
            stays[#stays + 1], stays[#stays + 2] = math.min(latest, popped[position + 1]), user
        end
        redis.call('ZADD', SEEN, unpack(signs))
        redis.call('ZADD', INSIDE, unpack(stays))
        redis.call('PEXPIRE', SEEN, TTL_MS)
        redis.call('PEXPIRE', INSIDE, TTL_MS)
        redis.call('PUBLISH', ARGV[6], cjson.encode({eventId = ARGV[7], userIds = users}))
        admitted = #users
        line, inside = line - admitted, inside + admitted
        more = more or room == BATCH
    end
else
    redis.call('HDEL', PACE, 'at') -- without a line no time counts
end

local told = redis.call('HMGET', PACE, 'told', 'told_at')
local announce = told[1] ~= numbers(line, inside) and now - tonumber(told[2] or 0) >= tonumber(ARGV[8])
if announce then
    redis.call('HSET', PACE, 'told', numbers(line, inside), 'told_at', now)
    redis.call('PEXPIRE', PACE, TTL_MS)
end
return {admitted, more and 1 or 0, line, inside, threshold, announce and 1 or 0, paused and 1 or 0}
