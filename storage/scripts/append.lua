-- Appends one accepted request to a tenant's event log: decides duplicates, writes the entry, moves the counters.
--
-- Everything that could be wrong is looked at before the first write, the log entry is the first write, and the
-- counters (the only writes that can fail after it) are protected calls. So the script never applies half of a
-- request: either the entry is there with its keys remembered, or nothing is.
--
-- All keys carry the tenant's hash tag, so they live in one slot of a cluster; those beyond the log are named here
-- and not in KEYS because their number follows from the request.
--
-- KEYS[1]  the stream           ARGV[1]  the tenant's tag, {tenant}
-- ARGV[2]  seconds a key is remembered
-- ARGV[3]  one char per event: ? undecided, X rejected by a gate
-- ARGV[4]  48 chars per undecided event: digest of its key (32 hex), hash of its payload (16 hex)
-- ARGV[5]  counters (msgpack): {counters = {{customer, field, operation}}, events = {}, which = {}, amounts = {}}
--          in parallel lists: event position, index of the counter, both from 1, and the amount;
--          limits: see limits.lua, which is put before this script; sessions: {{session, 1 if it ended}};
--          kept: {spool, rising number} of a request that waited on an edge's disk, which is taken over once
-- ARGV[6]  received at   ARGV[7] source   ARGV[8] key id   ARGV[9] records   ARGV[10] trace id, empty: none
-- Returns  verdicts (one char per event: A, D, C or X; none at all if a hard limit refuses, and then nothing was written),
--          the entry's id, 1 if the log was created, the limits' answers, those of the sessions that were killed.

local log, tag, ttl, gates, keys = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local CHUNK = 1000
local SUMMABLE = 500000000000 -- 10,000 such amounts still add up exactly in a double

local undecided = {}
for position = 1, #gates do
  if string.byte(gates, position) == 63 then undecided[#undecided + 1] = position end
end
if #keys ~= 48 * #undecided then
  return redis.error_reply('ERR APPEND expects 48 chars for each undecided event')
end
local plan = cmsgpack.unpack(ARGV[5])
local kept = plan.kept and 'kept:' .. tag .. ':' .. plan.kept[1]
if kept and tonumber(redis.call('GET', kept) or 0) >= plan.kept[2] then return {'', '', 0, {}, {}} end
local limits, refused = limit_all(plan.limits)
if refused then return {'', '', 0, limits, {}} end

-- Decide, reading only.
local verdicts, first, remember = {}, {}, {}
for position = 1, #gates do verdicts[position] = 'X' end
for start = 1, #undecided, CHUNK do
  local stop = math.min(start + CHUNK - 1, #undecided)
  local names = {}
  for nth = start, stop do
    names[#names + 1] = 'seen:' .. tag .. ':' .. string.sub(keys, nth * 48 - 47, nth * 48 - 16)
  end
  local known = redis.call('MGET', unpack(names))
  for nth = start, stop do
    local name = names[nth - start + 1]
    local payload = string.sub(keys, nth * 48 - 15, nth * 48)
    local before = first[name] or known[nth - start + 1]
    if not before then
      first[name] = payload
      remember[#remember + 1] = name
      verdicts[undecided[nth]] = 'A'
    elseif before == payload then
      verdicts[undecided[nth]] = 'D'
    else
      verdicts[undecided[nth]] = 'C'
    end
  end
end

-- Write: the entry first.
local created = 1 - redis.call('EXISTS', log)
local line = table.concat(verdicts)
local entry = {'r', ARGV[6], 's', ARGV[7], 'i', ARGV[8], 'v', line, 'b', ARGV[9]}
if ARGV[10] ~= '' then entry[11], entry[12] = 't', ARGV[10] end
local id = redis.call('XADD', log, '*', unpack(entry))
for _, name in ipairs(remember) do redis.call('SET', name, first[name], 'EX', ttl) end
if kept then redis.call('SET', kept, plan.kept[2], 'EX', ttl) end

-- Count what was accepted. A counter that cannot hold its value stays at the largest number there is.
local function usage(counter) return 'usage:' .. tag .. ':' .. counter[1] end

local function add(counter, amount)
  local moved = redis.pcall('HINCRBY', usage(counter), counter[2], amount)
  if type(moved) == 'table' and moved.err and string.find(moved.err, 'overflow') then
    local edge = string.sub(amount, 1, 1) == '-' and '-9223372036854775808' or '9223372036854775807'
    redis.pcall('HSET', usage(counter), counter[2], edge)
  end
end

local function raise(counter, amount)
  local held = redis.pcall('HGET', usage(counter), counter[2])
  if type(held) == 'table' then return end
  if not held or tonumber(held) < tonumber(amount) then
    redis.pcall('HSET', usage(counter), counter[2], amount)
  end
end

local function distinct(counter, value)
  local values = 'distinct:' .. tag .. ':' .. counter[1] .. '|' .. counter[2]
  if redis.pcall('PFADD', values, value) == 1 then
    redis.pcall('HSET', usage(counter), counter[2], string.format('%.0f', redis.call('PFCOUNT', values) * 1000000))
  end
end

local sums, customers = {}, {}
for nth, position in ipairs(plan.events) do
  if verdicts[position] == 'A' then
    local which, amount = plan.which[nth], plan.amounts[nth]
    local counter = plan.counters[which]
    customers[counter[1]] = true
    if counter[3] == 'M' then
      raise(counter, amount)
    elseif counter[3] == 'U' then
      distinct(counter, amount)
    elseif math.abs(tonumber(amount)) <= SUMMABLE then
      sums[which] = (sums[which] or 0) + tonumber(amount)
    else
      add(counter, amount)
    end
  end
end
for which, sum in pairs(sums) do add(plan.counters[which], string.format('%.0f', sum)) end
for customer in pairs(customers) do redis.pcall('SADD', 'counted:' .. tag, customer) end

-- Sessions seen, those forgotten for an hour dropped; who is told that a session was killed stops it.
local killed = {}
if #plan.sessions > 0 then
  local seen, dead = 'sessions:' .. tag, 'killed:' .. tag
  local now = math.floor(tonumber(ARGV[6]) / 1000000)
  for _, session in ipairs(plan.sessions) do
    if session[2] == 1 then
      redis.pcall('ZREM', seen, session[1])
    else
      redis.pcall('ZADD', seen, now, session[1])
    end
    local until_ = redis.pcall('ZSCORE', dead, session[1])
    if type(until_) == 'string' and tonumber(until_) > now then killed[#killed + 1] = session[1] end
  end
  redis.pcall('ZREMRANGEBYSCORE', seen, '-inf', now - 3600)
  redis.pcall('ZREMRANGEBYRANK', seen, 0, -100001)
end

return {line, id, created, limits, killed}
