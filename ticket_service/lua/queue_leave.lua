-- Give up a user's place, inside or in the line.
--
-- KEYS, ARGV[1..3]  see waiting_room.lua
-- ARGV[4]  user
-- Returns  nothing
--
-- Atomic because a user who is admitted half-way would stay inside.

sweep()
let_go({ARGV[4]})
