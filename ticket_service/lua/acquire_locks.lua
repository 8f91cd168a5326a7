-- Take all locks of one request, or none.
--
-- KEYS     one lock each, all of one event (same hash tag)
-- ARGV[1]  owner token
-- ARGV[2]  time to live, milliseconds
-- Returns  0 when the owner now has every lock, else the position in KEYS of one that is not his.
--
-- Atomic because two requests with overlapping seats must not each end up with a half. A lock that
-- the same owner has already is his: the repeat of a request goes through to the database.

for position, key in ipairs(KEYS) do
    if not redis.call('SET', key, ARGV[1], 'NX', 'PX', ARGV[2]) and redis.call('GET', key) ~= ARGV[1] then
        for taken = 1, position - 1 do
            if redis.call('GET', KEYS[taken]) == ARGV[1] then
                redis.call('DEL', KEYS[taken])
            end
        end
        return position
    end
end
return 0
