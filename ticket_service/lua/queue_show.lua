-- Take a sign of life of a user and return their place. A user without a place gets none.
--
-- KEYS, ARGV[1..3]  see waiting_room.lua
-- ARGV[4]  user
-- Returns  their place: see place()
--
-- Atomic because a place that has expired must not be renewed.

sweep()
renew(ARGV[4])
return place(ARGV[4])
