-- Send everyone away, from the line and from inside; who left just now cannot have their place back
-- either. The threshold and a pause stay.
--
-- KEYS, ARGV[1..4]  see waiting_room.lua
-- Returns  nothing
--
-- Atomic because nobody may be admitted half-way.

redis.call('UNLINK', WAITING, SEEN, INSIDE, PACE, LEFT, TICKETS)
