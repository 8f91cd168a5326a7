-- End the stays of people who paid, cancelled, or whose holds expired, also of those who left just now
-- or are back in line with the rest of a stay. Other people in line are not affected.
--
-- KEYS, ARGV[1..4]  see waiting_room.lua
-- ARGV[5..]  pairs, BATCH at most: a user, and how long ago the stay must have begun, ms. A stay
--            that began later is another one, and goes on
-- Returns    how many places were given up
--
-- Atomic because the freed places must be counted for the pace, and because the user may leave and
-- come in again at any time.

sweep()
local users, gone = {}, {}
for position = 5, #ARGV, 2 do
    local user, ago = ARGV[position], tonumber(ARGV[position + 1])
    local score = redis.call('ZSCORE', INSIDE, user) or redis.call('ZSCORE', WAITING, user)
    local ends = score and tonumber(score) or old_ticket(user)
    if ends and is_end(ends) and ends - longest <= now + 0.5 - ago then
        local where = score and users or gone
        where[#where + 1] = user
    end
end
end_places(users)
forget(gone)
return #users
