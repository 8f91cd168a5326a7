-- Take a sign of life of a user and return their place. A user without a place gets none, but for
-- one who was inside and left just now.
--
-- KEYS, ARGV[1..4]  see waiting_room.lua
-- ARGV[5]  user
-- ARGV[6]  '1' if they are let in again if they were inside when they left, and there is room
-- Returns  their place: see place()
--
-- Atomic because a place that has expired must not be renewed.

sweep()
if not renew(ARGV[5]) and ARGV[6] == '1' then
    let_back_in(ARGV[5])
end
return place(ARGV[5])
