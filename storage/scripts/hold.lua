-- Holds back a quantity of a quota for a while, unless that is more than is left. A hold made before under the same id stays.
--
-- KEYS[1]  the reservation's record   ARGV[1]  the tenant's tag   ARGV[2]  customer   ARGV[3]  field of the counter
-- ARGV[4]  id   ARGV[5]  millionths   ARGV[6]  the quota in millionths, '' for none   ARGV[7]  seconds it lasts
-- ARGV[8]  the record as the edge wrote it   ARGV[9]  seconds the record lasts
-- Returns  {1 made, 0 refused, 2 was there, 3 too many holds}, used, held (with this one), the record if it was there

local tag, customer, field, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
release_ended(tag, customer)
local used = redis.call('HGET', 'usage:' .. tag .. ':' .. customer, field) or '0'
local held = redis.call('HGET', 'held:' .. tag .. ':' .. customer, field) or '0'
local before = redis.call('GET', KEYS[1])
if before then return {2, used, held, before} end
local holds = 'holds:' .. tag .. ':' .. customer
if redis.call('ZCARD', holds) >= 10000 then return {3, used, held, ''} end
if ARGV[6] ~= '' and tonumber(used) + tonumber(held) + tonumber(ARGV[5]) > tonumber(ARGV[6]) then
  return {0, used, held, ''}
end
redis.call('SET', KEYS[1], ARGV[8], 'EX', ARGV[9])
redis.call('ZADD', holds, tonumber(redis.call('TIME')[1]) + tonumber(ARGV[7]), id .. '|' .. ARGV[5] .. '|' .. field)
local total = redis.call('HINCRBY', 'held:' .. tag .. ':' .. customer, field, ARGV[5])
return {1, used, tostring(total), ''}
