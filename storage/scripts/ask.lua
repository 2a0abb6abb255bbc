-- What decisions about access need, in one round trip: limits counted, counters, what is held back, margin levels.
--
-- KEYS[1]  a key of the tenant (names the slot)   ARGV[1]  the tenant's tag, {tenant}
-- ARGV[2]  msgpack, a list of requests, each {limits, see limits.lua; {{customer, {field, ...}}, ...}}
-- Returns  for each request the limits' answers, 1 if refused, and for each asked {counters, held, margin level or ''};
--          none if refused.

local tag = ARGV[1]

local function of(customer, fields)
  if #fields == 0 then return {{}, {}} end
  local counted = redis.call('HMGET', 'usage:' .. tag .. ':' .. customer, unpack(fields))
  local name = 'held:' .. tag .. ':' .. customer
  if redis.call('EXISTS', name) == 0 then return {counted, {}} end
  release_ended(tag, customer)
  return {counted, redis.call('HMGET', name, unpack(fields))}
end

local function answered(limits, questions)
  local answers, refused = limit_all(limits)
  if refused then return {answers, 1, {}} end
  local found = {}
  for nth, asked in ipairs(questions) do
    local answer = of(asked[1], asked[2])
    answer[3] = redis.call('HGET', 'margin:' .. tag, asked[1]) or ''
    found[nth] = answer
  end
  return {answers, 0, found}
end

local all = {}
for nth, request in ipairs(cmsgpack.unpack(ARGV[2])) do all[nth] = answered(request[1], request[2]) end
return all
