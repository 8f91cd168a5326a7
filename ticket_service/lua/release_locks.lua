-- Free the locks that the owner still has and, after a change, set a new version for the caches.
--
-- KEYS[1]    the event's version
-- KEYS[2..]  the locks, all of the same event (same hash tag)
-- ARGV[1]    owner of the locks
-- ARGV[2]    the new version, or '' if nothing was changed
-- ARGV[3]    time to live of the version, s
-- Returns    how many locks were freed
--
-- Atomic because a lock may expire, and be taken by another owner, between check and delete.

if ARGV[2] ~= '' then
    redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
end
local freed = 0
for position = 2, #KEYS do
    if redis.call('GET', KEYS[position]) == ARGV[1] then
        freed = freed + redis.call('DEL', KEYS[position])
    end
end
return freed
