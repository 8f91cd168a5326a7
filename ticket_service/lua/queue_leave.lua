-- Give up a user's place, inside or in the line.
--
-- KEYS, ARGV[1..4]  see waiting_room.lua
-- ARGV[5]  user
-- ARGV[6]  time in which they may have it back, ms
-- Returns  nothing
--
-- Atomic because a user who is admitted half-way would stay inside.

local user, back_within = ARGV[5], tonumber(ARGV[6])
sweep()
forget(redis.call('ZRANGEBYSCORE', LEFT, '-inf', now, 'LIMIT', 0, BATCH))
local had = redis.call('ZSCORE', WAITING, user) or redis.call('ZSCORE', INSIDE, user)
if had then
    let_go({user})
    redis.call('ZADD', LEFT, now + back_within, user)
    redis.call('HSET', TICKETS, user, had)
    redis.call('PEXPIRE', LEFT, back_within)
    redis.call('PEXPIRE', TICKETS, back_within)
end
