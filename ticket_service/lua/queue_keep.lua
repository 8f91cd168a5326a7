-- Take a sign of life of many users at once: those whose sockets are open.
--
-- KEYS, ARGV[1..4]  see waiting_room.lua
-- ARGV[5..]  users
-- Returns    those of them who are inside
--
-- Atomic because a place that has expired must not be renewed.

sweep()
local inside = {}
for position = 5, #ARGV do
    if renew(ARGV[position]) == 'active' then
        inside[#inside + 1] = ARGV[position]
    end
end
return inside
