-- Gives places back. KEYS: where. ARGV: the holder at each.
for i, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[i]) end
return #KEYS
