-- Sets counters to their largest quantities, unless a larger one came since they were read. KEYS: the hash of each counter.
-- ARGV: field, value as read, largest, of each.
for nth, key in ipairs(KEYS) do
  local field, counted, largest = ARGV[3 * nth - 2], ARGV[3 * nth - 1], ARGV[3 * nth]
  local held = redis.call('HGET', key, field) or '0'
  if held == counted or tonumber(held) < tonumber(largest) then redis.call('HSET', key, field, largest) end
end
