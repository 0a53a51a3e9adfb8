-- A part of a table, in key order.
-- KEYS: the table's index. ARGV: from and to as ZRANGEBYLEX takes them, how many, what the table's entries begin with.
-- Answers key and entry in turn; '' for an entry that has vanished.
local members = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
local found = {}
for i, member in ipairs(members) do
  found[2 * i - 1] = member
  found[2 * i] = redis.call('GET', ARGV[4] .. member) or ''
end
return found
