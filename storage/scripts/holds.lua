-- What is held back of quotas, for the scripts that look at it: put before them.
--
-- held:{tenant}:<customer>   hash: counter's field -> millionths held
-- holds:{tenant}:<customer>  sorted by when it ends: id|millionths|field
local function release(tag, customer, hold)
  local amount, field = string.match(hold, '^[^|]*|(%d+)|(.*)$')
  local held = 'held:' .. tag .. ':' .. customer
  if redis.call('ZREM', 'holds:' .. tag .. ':' .. customer, hold) == 1
    and redis.call('HINCRBY', held, field, '-' .. amount) <= 0 then
    redis.call('HDEL', held, field)
  end
end

local function release_ended(tag, customer)
  local now = redis.call('TIME')[1]
  local ended = redis.call('ZRANGEBYSCORE', 'holds:' .. tag .. ':' .. customer, '-inf', now, 'LIMIT', 0, 1000)
  for _, hold in ipairs(ended) do release(tag, customer, hold) end
end

