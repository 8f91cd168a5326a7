-- Send everyone away, from the line and from inside. What an admin decided stays.
--
-- KEYS, ARGV[1..3]  see waiting_room.lua
-- Returns  nothing
--
-- Atomic because nobody may be admitted in the middle.

redis.call('UNLINK', WAITING, SEEN, INSIDE, PACE)
