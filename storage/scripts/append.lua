-- Appends one accepted request to a tenant's event log: decides duplicates, writes the entry, moves the counters.
--
-- Everything that could be wrong is looked at before the first write. The usual request has no key that was seen before: its
-- keys are remembered by a command that does so only then, which is quicker than asking first, and forgotten again where the log
-- cannot take the entry. Otherwise the entry is the first write. The counters (the only writes that can fail after it) are
-- protected calls. So the script never applies half of a request: either the entry is there with its keys remembered, or nothing is.
--
-- All keys carry the tenant's hash tag, so they live in one slot of a cluster; those beyond the log are named here
-- and not in KEYS because their number follows from the request.
--
-- KEYS[1]  the stream           ARGV[1]  the tenant's tag, {tenant}
-- ARGV[2]  seconds a key is remembered
-- ARGV[3]  one char per event: ? undecided, X rejected by a gate
-- ARGV[4]  the undecided events' keys (msgpack): {{name, payload, name, payload, …}, …}, lists of a thousand at most; a name is
--          seen:{tenant}:<digest>, a payload what is kept under it: the hash (16 hex) of what the event says
-- ARGV[5]  plan (msgpack): {once = no name stands twice in ARGV[4], counters = {customer, field, operation, sum, customer, …}}
--          sum: what all events together add to the counter; false for one that does not add up, or not exactly;
--          limits: see limits.lua, which is put before this script; sessions: {{session, 1 if it ended}};
--          kept: {spool, rising number} of a request that waited on an edge's disk, which is taken over once
-- ARGV[6]  received at   ARGV[7] source   ARGV[8] key id   ARGV[9] records   ARGV[10] trace id, empty: none
-- ARGV[11] moves (msgpack), looked at where a sum is missing or an event is not accepted: {{event}, {which}, {amount}}, parallel
--          lists: position of the event, where its counter begins in the list of them, both from 1, and the amount
-- Returns  verdicts (one char per event: A, D, C or X; none at all if a hard limit refuses, and then nothing was written),
--          the entry's id, 1 if the log was created, the limits' answers, those of the sessions that were killed.

local log, tag, ttl, gates = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local CHUNK = 1000
local call, pcall = redis.call, redis.pcall

local chunks, plan = cmsgpack.unpack(ARGV[4]), cmsgpack.unpack(ARGV[5])
local verdicts, undecided = string.gsub(gates, '%?', 'A')
for _, pairs_ in ipairs(chunks) do undecided = undecided - #pairs_ / 2 end
if undecided ~= 0 then return redis.error_reply('ERR APPEND expects a name and a payload for each undecided event') end
local kept = plan.kept and 'kept:' .. tag .. ':' .. plan.kept[1]
if kept and tonumber(call('GET', kept) or 0) >= plan.kept[2] then return {'', '', 0, {}, {}} end
local limits, refused = limit_all(plan.limits)
if refused then return {'', '', 0, limits, {}} end
local created = 1 - call('EXISTS', log)

-- One command for all these keys. condition: NX, none of them may be there; nil. Whether it was done: not every server can.
local function remember(pairs_, condition)
  local last = #pairs_
  pairs_[last + 1], pairs_[last + 2], pairs_[last + 3] = 'EX', ttl, condition
  local done = pcall('MSETEX', last / 2, unpack(pairs_)) == 1
  pairs_[last + 1], pairs_[last + 2], pairs_[last + 3] = nil, nil, nil
  return done
end

local function forget(pairs_)
  for at = 1, #pairs_, 2 do call('DEL', pairs_[at]) end
end

-- Decide. other: verdicts that are not A, by place among the undecided.
local remembered, fresh, first, other, place = {}, {}, {}, {}, 0
for _, pairs_ in ipairs(chunks) do
  if plan.once and remember(pairs_, 'NX') then
    remembered[#remembered + 1] = pairs_
  else
    local names, left = {}, {}
    for at = 1, #pairs_, 2 do names[#names + 1] = pairs_[at] end
    for nth, known in ipairs(call('MGET', unpack(names))) do
      local name, payload = names[nth], pairs_[2 * nth]
      local before = first[name] or known
      if not before then
        first[name] = payload
        left[#left + 1], left[#left + 2] = name, payload
      else
        other[place + nth] = before == payload and 'D' or 'C'
      end
    end
    if #left > 0 then fresh[#fresh + 1] = left end
  end
  place = place + #pairs_ / 2
end
local all = next(other) == nil
if not all then
  place = 0
  verdicts = string.gsub(gates, '%?', function()
    place = place + 1
    return other[place] or 'A'
  end)
end

-- Write the entry, and remember what is not yet.
local entry = {'r', ARGV[6], 's', ARGV[7], 'i', ARGV[8], 'v', verdicts, 'b', ARGV[9]}
if ARGV[10] ~= '' then entry[11], entry[12] = 't', ARGV[10] end
local id = pcall('XADD', log, '*', unpack(entry))
if type(id) == 'table' then
  for _, pairs_ in ipairs(remembered) do forget(pairs_) end
  return id
end
for _, pairs_ in ipairs(fresh) do
  if not remember(pairs_) then
    for at = 1, #pairs_, 2 do call('SET', pairs_[at], pairs_[at + 1], 'EX', ttl) end
  end
end
if kept then call('SET', kept, plan.kept[2], 'EX', ttl) end

-- Count what was accepted. A counter that cannot hold its value stays at the largest number there is. begun: customers with a
-- counter that was not there before, or at nothing; those of the others are listed.
local usage, begun, counters = 'usage:' .. tag .. ':', {}, plan.counters

local function set(at, amount)
  if pcall('HSET', usage .. counters[at], counters[at + 1], amount) == 1 then begun[counters[at]] = true end
end

local function add(at, amount)
  local moved = pcall('HINCRBY', usage .. counters[at], counters[at + 1], amount)
  if moved == tonumber(amount) then
    begun[counters[at]] = true
  elseif type(moved) == 'table' and moved.err and string.find(moved.err, 'overflow') then
    local edge = string.sub(amount, 1, 1) == '-' and '-9223372036854775808' or '9223372036854775807'
    set(at, edge)
  end
end

local function raise(at, amount)
  local held = pcall('HGET', usage .. counters[at], counters[at + 1])
  if type(held) == 'table' then return end
  if not held or tonumber(held) < tonumber(amount) then set(at, amount) end
end

local function distinct(at, value)
  local values = 'distinct:' .. tag .. ':' .. counters[at] .. '|' .. counters[at + 1]
  if pcall('PFADD', values, value) == 1 then
    set(at, string.format('%.0f', call('PFCOUNT', values) * 1000000))
  end
end

local sums = {}
for at = 1, #counters, 4 do
  sums[at] = counters[at + 3]
  all = all and sums[at]
end
if not all then
  sums = {}
  local events, begins, amounts = unpack(cmsgpack.unpack(ARGV[11]))
  for nth, position in ipairs(events) do
    if string.byte(verdicts, position) == 65 then
      local at, amount = begins[nth], amounts[nth]
      if counters[at + 2] == 'M' then
        raise(at, amount)
      elseif counters[at + 2] == 'U' then
        distinct(at, amount)
      elseif type(amount) == 'number' then
        sums[at] = (sums[at] or 0) + amount
      else
        add(at, amount)
      end
    end
  end
end
for at, sum in pairs(sums) do add(at, sum) end
local customers = {}
for customer in pairs(begun) do customers[#customers + 1] = customer end
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

return {verdicts, id, created, limits, killed}
