-- Keeps places. KEYS: where. ARGV: life in ms, then the holder at each.
local time = redis.call('TIME')
local ends = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
for i, key in ipairs(KEYS) do redis.call('ZADD', key, ends, ARGV[i + 1]) end
return #KEYS
