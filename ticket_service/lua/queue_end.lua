-- End the stays of people inside: their holds ran out.
--
-- KEYS, ARGV[1..2]  see waiting_room.lua
-- ARGV[3..]  users, a batch at most
-- Returns    nothing
--
-- Atomic because the places that come free count for the pace.

sweep()
count_freed(redis.call('ZREM', INSIDE, unpack(ARGV, 3)))
