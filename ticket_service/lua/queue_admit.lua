-- Let the next in line in, as many as there is room for, and tell all instances who they are.
--
-- KEYS, ARGV[1..2]  see waiting_room.lua
-- ARGV[3]  time in which those admitted must show up, ms
-- ARGV[4]  channel for those admitted
-- ARGV[5]  event
-- ARGV[6]  shortest time between two tellings of the watchers, ms
-- ARGV[7]  '1' when the caller knows that the event is paused
-- Returns  {people admitted, 1 if there is more to do at once, people waiting, people inside,
--          threshold, 1 if these numbers are to be told to the watchers, 1 if paused}
--
-- Atomic because every instance runs it, at any moment, and each person is to be admitted once and
-- told once: an instance that dies right after the call takes nobody's news along.

restore_pause(ARGV[7])
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

    -- While silent people are left, the next in line may be one of them: they are swept first.
    local room = more and 0 or math.min(threshold - inside, line, BATCH)
    if room > 0 then
        local users, stays = {}, {}
        local popped = redis.call('ZPOPMIN', WAITING, room)
        for position = 1, #popped, 2 do
            users[#users + 1] = popped[position]
            stays[#stays + 1] = now + tonumber(ARGV[3])
            stays[#stays + 1] = popped[position]
        end
        redis.call('ZREM', SEEN, unpack(users))
        put_inside(unpack(stays))
        redis.call('PUBLISH', ARGV[4], cjson.encode({eventId = ARGV[5], userIds = users}))
        admitted = #users
        line, inside = line - admitted, inside + admitted
        more = more or room == BATCH
    end
else
    redis.call('HDEL', PACE, 'at') -- without a line no time counts
end

local told = redis.call('HMGET', PACE, 'told', 'told_at')
local numbers = table.concat({line, inside, threshold}, ' ')
local tell = told[1] ~= numbers and now - tonumber(told[2] or 0) >= tonumber(ARGV[6])
if tell then
    redis.call('HSET', PACE, 'told', numbers, 'told_at', now)
    redis.call('PEXPIRE', PACE, TTL_MS)
end
return {admitted, more and 1 or 0, line, inside, threshold, tell and 1 or 0, paused and 1 or 0}
