-- Give a sign of life and look at one's place, without taking one.
--
-- KEYS, ARGV[1..2]  see waiting_room.lua
-- ARGV[3]  user
-- Returns  his place: see place()
--
-- Atomic because a lease that has run out must not be renewed.

sweep()
renew(ARGV[3])
return place(ARGV[3])
