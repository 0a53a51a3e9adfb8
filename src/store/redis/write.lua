-- Writes entries, all of them or none.
-- KEYS: the last version, the table's index, what vanishes in it, then the entries.
-- ARGV: the version that must be there or '', the life in ms or '', what the table's entries begin with, then key and value
-- of each entry. Answers with the last version; with '' where another version is there.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local now_ms = math.floor(now / 1000)
local version = tonumber(redis.call('GET', KEYS[1]) or '0')
-- A write comes first, so that a read-only replica refuses instead of comparing with what it has.
redis.call('SET', KEYS[1], string.format('%.0f', math.max(version + #KEYS - 3, now)))
if ARGV[1] ~= '' then
  local there = string.match(redis.call('GETRANGE', KEYS[4], 0, 20), '^(%d+):') or '0'
  if there ~= ARGV[1] then return '' end
end
local due = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', string.format('%.0f', now_ms), 'LIMIT', 0, 64)
for _, member in ipairs(due) do
  redis.call('DEL', ARGV[3] .. member)
  redis.call('ZREM', KEYS[2], member)
  redis.call('ZREM', KEYS[3], member)
end
local vanishes = '0'
if ARGV[2] ~= '' then vanishes = string.format('%.0f', now_ms + tonumber(ARGV[2])) end
for i = 4, #KEYS do
  local member, value = ARGV[2 * i - 4], ARGV[2 * i - 3]
  version = math.max(version + 1, now)
  local entry = string.format('%.0f', version) .. ':' .. vanishes .. ':' .. value
  if vanishes == '0' then
    redis.call('SET', KEYS[i], entry)
    redis.call('ZREM', KEYS[3], member)
  else
    redis.call('SET', KEYS[i], entry, 'PXAT', vanishes)
    redis.call('ZADD', KEYS[3], vanishes, member)
  end
  redis.call('ZADD', KEYS[2], 0, member)
end
version = string.format('%.0f', version)
redis.call('SET', KEYS[1], version)
return version
