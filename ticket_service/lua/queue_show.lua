-- Take a sign of life of a user and return their place. A user without a place gets none, but for
-- one who was inside and left just now.
--
-- KEYS, ARGV[1..3]  see waiting_room.lua
-- ARGV[4]  user
-- ARGV[5]  '1' if they are let in again if they were inside when they left, and there is room
-- Returns  their place: see place()
--
-- Atomic because a place that has expired must not be renewed.

sweep()
if not renew(ARGV[4]) and ARGV[5] == '1' then
    let_back_in(ARGV[4])
end
return place(ARGV[4])
