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
local call, pcall, sub = redis.call, redis.pcall, string.sub

local undecided, verdicts = {}, {}
for position = 1, #gates do
  verdicts[position] = 'X'
  if string.byte(gates, position) == 63 then undecided[#undecided + 1] = position end
end
if #keys ~= 48 * #undecided then
  return redis.error_reply('ERR APPEND expects 48 chars for each undecided event')
end
local plan = cmsgpack.unpack(ARGV[5])
local kept = plan.kept and 'kept:' .. tag .. ':' .. plan.kept[1]
if kept and tonumber(call('GET', kept) or 0) >= plan.kept[2] then return {'', '', 0, {}, {}} end
local limits, refused = limit_all(plan.limits)
if refused then return {'', '', 0, limits, {}} end

-- Decide, reading only.
local first, remember = {}, {} -- remember: name, payload, name, payload, …
local prefix = 'seen:' .. tag .. ':'
for start = 0, #undecided - 1, CHUNK do
  local many = math.min(CHUNK, #undecided - start)
  local names = {}
  for nth = 1, many do
    local at = (start + nth) * 48
    names[nth] = prefix .. sub(keys, at - 47, at - 16)
  end
  local known = call('MGET', unpack(names))
  for nth = 1, many do
    local name, at = names[nth], (start + nth) * 48
    local payload = sub(keys, at - 15, at)
    local before = first[name] or known[nth]
    if not before then
      first[name] = payload
      local last = #remember
      remember[last + 1], remember[last + 2] = name, payload
      verdicts[undecided[start + nth]] = 'A'
    elseif before == payload then
      verdicts[undecided[start + nth]] = 'D'
    else
      verdicts[undecided[start + nth]] = 'C'
    end
  end
end

-- Write: the entry first.
local created = 1 - call('EXISTS', log)
local line = table.concat(verdicts)
local entry = {'r', ARGV[6], 's', ARGV[7], 'i', ARGV[8], 'v', line, 'b', ARGV[9]}
if ARGV[10] ~= '' then entry[11], entry[12] = 't', ARGV[10] end
local id = call('XADD', log, '*', unpack(entry))
for start = 1, #remember, 2 * CHUNK do
  local stop, is_set = math.min(start + 2 * CHUNK - 1, #remember), false
  if stop > start + 1 then
    local fresh, many = {unpack(remember, start, stop)}, (stop - start + 1) / 2
    fresh[2 * many + 1], fresh[2 * many + 2] = 'EX', ttl
    is_set = pcall('MSETEX', many, unpack(fresh)) == 1 -- not every server can
  end
  if not is_set then
    for nth = start, stop, 2 do call('SET', remember[nth], remember[nth + 1], 'EX', ttl) end
  end
end
if kept then call('SET', kept, plan.kept[2], 'EX', ttl) end

-- Count what was accepted. A counter that cannot hold its value stays at the largest number there is.
local function usage(counter) return 'usage:' .. tag .. ':' .. counter[1] end

local function add(counter, amount)
  local moved = pcall('HINCRBY', usage(counter), counter[2], amount)
  if type(moved) == 'table' and moved.err and string.find(moved.err, 'overflow') then
    local edge = sub(amount, 1, 1) == '-' and '-9223372036854775808' or '9223372036854775807'
    pcall('HSET', usage(counter), counter[2], edge)
  end
end

local function raise(counter, amount)
  local held = pcall('HGET', usage(counter), counter[2])
  if type(held) == 'table' then return end
  if not held or tonumber(held) < tonumber(amount) then
    pcall('HSET', usage(counter), counter[2], amount)
  end
end

local function distinct(counter, value)
  local values = 'distinct:' .. tag .. ':' .. counter[1] .. '|' .. counter[2]
  if pcall('PFADD', values, value) == 1 then
    pcall('HSET', usage(counter), counter[2], string.format('%.0f', call('PFCOUNT', values) * 1000000))
  end
end

local sums, customers, listed = {}, {}, {}
local counters, whichs, amounts = plan.counters, plan.which, plan.amounts
for nth, position in ipairs(plan.events) do
  if verdicts[position] == 'A' then
    local which, amount = whichs[nth], amounts[nth]
    local counter = counters[which]
    if not listed[counter[1]] then
      listed[counter[1]], customers[#customers + 1] = true, counter[1]
    end
    if counter[3] == 'M' then
      raise(counter, amount)
    elseif counter[3] == 'U' then
      distinct(counter, amount)
    elseif type(amount) == 'number' then
      sums[which] = (sums[which] or 0) + amount
    else
      add(counter, amount)
    end
  end
end
for which, sum in pairs(sums) do add(counters[which], sum) end
for start = 1, #customers, CHUNK do
  pcall('SADD', 'counted:' .. tag, unpack(customers, start, math.min(start + CHUNK - 1, #customers)))
end

-- Sessions seen, those forgotten for an hour dropped; who is told that a session was killed stops it.
local killed = {}
if #plan.sessions > 0 then
  local seen, dead = 'sessions:' .. tag, 'killed:' .. tag
  local now = math.floor(tonumber(ARGV[6]) / 1000000)
  for _, session in ipairs(plan.sessions) do
    if session[2] == 1 then
      pcall('ZREM', seen, session[1])
    else
      pcall('ZADD', seen, now, session[1])
    end
    local until_ = pcall('ZSCORE', dead, session[1])
    if type(until_) == 'string' and tonumber(until_) > now then killed[#killed + 1] = session[1] end
  end
  pcall('ZREMRANGEBYSCORE', seen, '-inf', now - 3600)
  pcall('ZREMRANGEBYRANK', seen, 0, -100001)
end

return {line, id, created, limits, killed}
