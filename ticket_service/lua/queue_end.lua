-- End the stays of people inside who paid, cancelled, or whose holds expired. People in line are not
-- affected.
--
-- KEYS, ARGV[1..3]  see waiting_room.lua
-- ARGV[4..]  pairs, BATCH at most: a user, and how long ago the stay must have begun, ms. A stay
--            that began later is another one, and goes on
-- Returns    how many stays ended
--
-- Atomic because the freed places must be counted for the pace, and because the user may leave and
-- come in again at any time.

sweep()
local users = {}
for position = 4, #ARGV, 2 do
    local ends = redis.call('ZSCORE', INSIDE, ARGV[position])
    if ends and ends - longest <= now + 0.5 - ARGV[position + 1] then
        users[#users + 1] = ARGV[position]
    end
end
let_go(users)
return #users
