-- Let a user in, or put them into the line: where they stood if they left just now, else at the end.
-- They keep a place that they have.
--
-- KEYS, ARGV[1..4]  see waiting_room.lua
-- ARGV[5]  user
-- ARGV[6]  '1' if the caller knows that the event is paused
-- Returns  their place: see place()
--
-- Atomic because two people must not both get the last free place inside, and nobody may enter the
-- line between the check that it is empty and the step inside.

local user = ARGV[5]
restore_pause(ARGV[6])
sweep()
if not renew(user) and not let_in(user) then
    local last = redis.call('ZREVRANGE', WAITING, 0, 0, 'WITHSCORES')[2]
    put(user, WAITING, old_ticket(user) or math.max(now_us, tonumber(last or 0) + 1))
end

-- Whoever is shown other numbers than were announced must hear when those are true again.
local here = place(user)
local told = redis.call('HGET', PACE, 'told')
if told and told ~= numbers(here[4], here[5]) then
    redis.call('HDEL', PACE, 'told')
end
return here
