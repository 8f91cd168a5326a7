-- A sign of life of many people at once: those whose sockets are open.
--
-- KEYS, ARGV[1..2]  see waiting_room.lua
-- ARGV[3..]  users
-- Returns    how many of them have a place
--
-- Atomic because a lease that has run out must not be renewed.

sweep()
local kept = 0
for position = 3, #ARGV do
    if renew(ARGV[position]) then
        kept = kept + 1
    end
end
if kept > 0 then
    keep()
end
return kept
