-- Removes an entry.
-- KEYS: the last version, the table's index, what vanishes in it, the entry.
-- ARGV: the version that must be there or '', the entry's key. Answers 1 where it was there, 0 where it was not, -1 where
-- another version is there.
local time = redis.call('TIME')
local version = tonumber(redis.call('GET', KEYS[1]) or '0')
-- A write comes first, so that a read-only replica refuses instead of comparing with what it has.
redis.call('SET', KEYS[1], string.format('%.0f', math.max(version, time[1] * 1000000 + time[2])))
local there = string.match(redis.call('GETRANGE', KEYS[4], 0, 20), '^(%d+):')
if not there then return 0 end
if ARGV[1] ~= '' and there ~= ARGV[1] then return -1 end
redis.call('DEL', KEYS[4])
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('ZREM', KEYS[3], ARGV[2])
return 1
