-- On the way to buying: check that the buyer is inside, or let him in, and take his seat locks.
--
-- KEYS[1..5], ARGV[1..2]  see waiting_room.lua
-- KEYS[6..]  one lock for each seat, of the same event
-- ARGV[3]  user
-- ARGV[4]  owner token of the locks
-- ARGV[5]  time to live of the locks, ms
-- ARGV[6]  '1' when the caller knows that the event is paused
-- Returns  {'inside', 0} when he is inside and the owner has every lock;
--          {'inside', position in KEYS of a lock that is someone else's}: then no lock was taken;
--          else his place in the waiting room, see place()
--
-- Atomic because the last free place inside must not be given away twice, and because two requests
-- with overlapping seats must not each end up with a half. A lock that the same owner has already
-- is his: the repeat of a request goes through to the database.

local FIRST_LOCK = 6

local user, owner = ARGV[3], ARGV[4]
restore_pause(ARGV[6])
sweep()
local status = renew(user)
if status == 'queued' or not status and not let_in(user) then
    return place(user)
end

for position = FIRST_LOCK, #KEYS do
    local key = KEYS[position]
    if not redis.call('SET', key, owner, 'NX', 'PX', ARGV[5]) and redis.call('GET', key) ~= owner then
        for taken = FIRST_LOCK, position - 1 do
            if redis.call('GET', KEYS[taken]) == owner then
                redis.call('DEL', KEYS[taken])
            end
        end
        return {'inside', position}
    end
end
return {'inside', 0}
