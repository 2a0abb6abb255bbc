-- Sets UNIQUE counters to the number of values they have seen. KEYS: the set of customers that have counters; then hash and values of
-- each counter. ARGV: field and customer of each.
for nth = 1, (#KEYS - 1) / 2 do
  local hash, values, field, customer = KEYS[2 * nth], KEYS[2 * nth + 1], ARGV[2 * nth - 1], ARGV[2 * nth]
  redis.call('HSET', hash, field, string.format('%.0f', redis.call('PFCOUNT', values) * 1000000))
  redis.call('SADD', KEYS[1], customer)
end
