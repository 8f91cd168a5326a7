-- Give one's place up, inside or in the line.
--
-- KEYS, ARGV[1..2]  see waiting_room.lua
-- ARGV[3]  user
-- Returns  1 when he had a place, else 0
--
-- Atomic because he may be admitted in the middle, and would then stay inside.

sweep()
local left = redis.call('ZREM', INSIDE, ARGV[3])
count_freed(left)
redis.call('ZREM', SEEN, ARGV[3])
return left + redis.call('ZREM', WAITING, ARGV[3])
