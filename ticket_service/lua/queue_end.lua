-- End the stays of people inside, who paid or whose holds expired. People in line are not affected.
--
-- KEYS, ARGV[1..3]  see waiting_room.lua
-- ARGV[4..]  users, BATCH at most
-- Returns    nothing
--
-- Atomic because the freed places must be counted for the pace.

sweep()
local users = {}
for position = 4, #ARGV do
    if redis.call('ZSCORE', INSIDE, ARGV[position]) then
        users[#users + 1] = ARGV[position]
    end
end
let_go(users)
