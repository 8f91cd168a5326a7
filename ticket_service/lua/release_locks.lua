-- Free the locks that their owners still have and, after a change, set a new version for the caches.
--
-- KEYS[1]    the event's version
-- KEYS[2..]  the locks, all of the same event (same hash tag)
-- ARGV[1]    the new version, or '' if nothing was changed
-- ARGV[2]    time to live of the version, s
-- ARGV[3..]  the owner of each lock, in the order of KEYS[2..]
-- Returns    how many locks were freed
--
-- Atomic because a lock may expire, and be taken by another owner, between check and delete.

-- Redis without memory refuses a script whose first write may need some, but not a later one. So
-- the DEL lets the SET through, which needs no more than the old version.
if ARGV[1] ~= '' then
    redis.call('DEL', KEYS[1])
    redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
local freed = 0
for position = 2, #KEYS do
    if redis.call('GET', KEYS[position]) == ARGV[position + 1] then
        freed = freed + redis.call('DEL', KEYS[position])
    end
end
return freed
