-- Come in, or take a place at the end of the line; whoever has a place keeps it.
--
-- KEYS, ARGV[1..3]  see waiting_room.lua
-- ARGV[4]  user
-- ARGV[5]  '1' when the caller knows that the event is paused
-- Returns  their place: see place()
--
-- Atomic because two people on two instances must not both see the last free place inside, and
-- because nobody may slip in between the look at the line and the step past it.

local user = ARGV[4]
restore_pause(ARGV[5])
sweep()
if not renew(user) and not let_in(user) then
    local last = redis.call('ZREVRANGE', WAITING, 0, 0, 'WITHSCORES')[2]
    redis.call('ZADD', WAITING, math.max(now_us, tonumber(last or 0) + 1), user)
    seen(user, WAITING)
end
return place(user)
