-- Count hits, each in a window that begins with the first one.
--
-- KEYS[1..]  counters, all with the same hash tag
-- ARGV[1..]  two for each counter: the length of its window, s; how many hits to add
-- Returns  for each counter that was hit more than once in its window: its position in KEYS, its
--          count, and the rest of its window, ms; one after the other, in one list
--
-- Not the strategies' own scripts (limits), which count one key a call and do not say when its
-- window ends. Counters of whoever comes once are not answered, since reading answers costs most.

local often = {}
for position, key in ipairs(KEYS) do
    local window, hits = ARGV[2 * position - 1], ARGV[2 * position]
    local count = redis.call('INCRBY', key, hits)
    local left = redis.call('PTTL', key)
    if left < 0 then
        redis.call('EXPIRE', key, window)
        left = window * 1000
    end
    if count > 1 then
        often[#often + 1] = position
        often[#often + 1] = count
        often[#often + 1] = left
    end
end
return often
