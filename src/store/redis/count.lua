-- Counts a call against rates, and takes a place: all of it or nothing.
-- KEYS: one for each rate, then that of the places where one is wanted.
-- ARGV: how many rates; for each its step in µs and its burst; then holder, most, and life in ms.
-- Answers: what became of it, which rate (from 0), and the wait in µs or what is left.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local rates = tonumber(ARGV[1])
local due, left = {}, 0
for i = 1, rates do
  local step, burst = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  due[i] = math.max(tonumber(redis.call('GET', KEYS[i]) or now), now) + step
  local over = due[i] - now - step * burst
  if over > 0 then return { 'exhausted', i - 1, math.ceil(over) } end
  left = math.floor(-over / step)
end
if #KEYS > rates then
  local key, holder = KEYS[rates + 1], ARGV[2 * rates + 2]
  local most, life = tonumber(ARGV[2 * rates + 3]), tonumber(ARGV[2 * rates + 4])
  local now_ms = math.floor(now / 1000)
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', now_ms)) do redis.call('ZREM', key, gone) end
  if #redis.call('ZRANGE', key, most - 1, most - 1) > 0 then return { 'full', 0, 0 } end
  redis.call('ZADD', key, now_ms + life, holder)
end
for i = 1, rates do
  redis.call('SET', KEYS[i], string.format('%.0f', due[i]), 'PX', math.ceil((due[i] - now) / 1000))
end
return { 'admitted', 0, left }
