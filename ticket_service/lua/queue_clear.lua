-- Send everyone away, from the line and from inside. What an admin decided stays.
--
-- KEYS, ARGV[1..2]  see waiting_room.lua
-- Returns  how many people had a place
--
-- Atomic because nobody may be admitted in the middle.

local people = redis.call('ZCARD', WAITING) + redis.call('ZCARD', INSIDE)
redis.call('UNLINK', WAITING, SEEN, INSIDE, PACE)
return people
