-- Before a purchase: check that the buyer is inside, or let them in, and take their seat locks.
--
-- KEYS[1..7], ARGV[1..4]  see waiting_room.lua
-- KEYS[8..]  one lock for each seat, of the same event
-- ARGV[5]  user
-- ARGV[6]  owner of the locks
-- ARGV[7]  time to live of the locks, ms
-- ARGV[8]  '1' when the caller knows that the event is paused
-- Returns  {'inside', 0} if they are inside and the owner has every lock;
--          {'inside', position in KEYS of a lock of another owner}: then no lock was taken;
--          else their place in the waiting room, see place()
--
-- Atomic because the last free place inside must not be given away twice, and because two requests
-- with overlapping seats must not each get half of them. Locks that the owner has already count as
-- taken: so the repeat of a request reaches the database.

local FIRST_LOCK = 8

local user, owner = ARGV[5], ARGV[6]
restore_pause(ARGV[8])
sweep()
local status = renew(user)
if status == 'queued' or not status and not let_in(user) then
    return place(user)
end

for position = FIRST_LOCK, #KEYS do
    local key = KEYS[position]
    if not redis.call('SET', key, owner, 'NX', 'PX', ARGV[7]) and redis.call('GET', key) ~= owner then
        for taken = FIRST_LOCK, position - 1 do
            if redis.call('GET', KEYS[taken]) == owner then
                redis.call('DEL', KEYS[taken])
            end
        end
        return {'inside', position}
    end
end
return {'inside', 0}
