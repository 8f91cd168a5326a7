-- End the stays of people inside: they paid, or their holds ran out. Whoever waits goes on waiting.
--
-- KEYS, ARGV[1..3]  see waiting_room.lua
-- ARGV[4..]  users, a batch at most
-- Returns    nothing
--
-- Atomic because the places that come free count for the pace.

sweep()
local users = {}
for position = 4, #ARGV do
    if redis.call('ZSCORE', INSIDE, ARGV[position]) then
        users[#users + 1] = ARGV[position]
    end
end
let_go(users)
