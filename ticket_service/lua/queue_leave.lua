-- Give one's place up, inside or in the line.
--
-- KEYS, ARGV[1..2]  see waiting_room.lua
-- ARGV[3]  user
-- Returns  nothing
--
-- Atomic because he may be admitted in the middle, and would then stay inside.

sweep()
count_freed(redis.call('ZREM', INSIDE, ARGV[3]))
redis.call('ZREM', WAITING, ARGV[3])
redis.call('ZREM', SEEN, ARGV[3])
