-- Give one's place up, inside or in the line.
--
-- KEYS, ARGV[1..3]  see waiting_room.lua
-- ARGV[4]  user
-- Returns  nothing
--
-- Atomic because they may be admitted in the middle, and would then stay inside.

sweep()
let_go({ARGV[4]})
