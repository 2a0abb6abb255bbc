-- What a decision about access needs, in one round trip: limits counted, counters, what is held back, margin levels.
--
-- KEYS[1]  a key of the tenant (names the slot)   ARGV[1]  the tenant's tag, {tenant}
-- ARGV[2]  msgpack {limits = see limits.lua, asked = {{customer, {field, ...}}, ...}}
-- Returns  limits' answers, 1 if refused, and for each asked {counters, held, margin level or ''}; none if refused.

local tag, plan = ARGV[1], cmsgpack.unpack(ARGV[2])
local answers, refused = limit_all(plan.limits)
if refused then return {answers, 1, {}} end

local function of(customer, fields)
  if #fields == 0 then return {{}, {}} end
  local counted = redis.call('HMGET', 'usage:' .. tag .. ':' .. customer, unpack(fields))
  local name = 'held:' .. tag .. ':' .. customer
  if redis.call('EXISTS', name) == 0 then return {counted, {}} end
  release_ended(tag, customer)
  return {counted, redis.call('HMGET', name, unpack(fields))}
end

local found = {}
for nth, asked in ipairs(plan.asked) do
  local answer = of(asked[1], asked[2])
  answer[3] = redis.call('HGET', 'margin:' .. tag, asked[1]) or ''
  found[nth] = answer
end
return {answers, 0, found}
