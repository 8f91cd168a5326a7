-- Give a sign of life and look at one's place, without taking one.
--
-- KEYS, ARGV[1..3]  see waiting_room.lua
-- ARGV[4]  user
-- Returns  their place: see place()
--
-- Atomic because a lease that has run out must not be renewed.

sweep()
renew(ARGV[4])
return place(ARGV[4])
