-- Sliding windows of requests, for the scripts that do a request's work: put before them, so that both are one round trip.
--
-- A window is two counters, of this stretch of time and of the one before, which fades out as this one goes on. The
-- counters are kept out of the append-only file: they are worth nothing after a minute, and asking must not wait for a disk.
--
-- limits   list of {name, seconds, ceiling, 1 if hard, requests (none: one)}
-- Returns  one {1 if over, remaining, reset (epoch s), wait (ms)} for each, and whether a hard one refuses; then none counts.
local function limit_all(limits)
  local clock = redis.call('TIME')
  local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
  local answers, names, refused = {}, {}, false
  for nth, limit in ipairs(limits) do
    local window, ceiling, many = limit[2], limit[3], limit[5] or 1
    local bucket = math.floor(now / window)
    local share = now / window - bucket
    local name = 'limit:' .. limit[1] .. ':' .. window .. ':'
    local found = redis.call('MGET', name .. bucket, name .. (bucket - 1))
    local current, before = tonumber(found[1] or 0), tonumber(found[2] or 0)
    local used = before * (1 - share) + current
    local over, wait = 0, 0
    if used + many > ceiling then
      over = 1
      if limit[4] == 1 then refused = true end
      if current + 1 <= ceiling then
        wait = (1 - (ceiling - current - 1) / before - share) * window
      else
        wait = (1 - share + math.max(0, 1 - (ceiling - 1) / current)) * window
      end
    end
    names[nth] = name .. bucket
    answers[nth] = {over, math.max(0, math.floor(ceiling - used - many)), (bucket + 1) * window, math.ceil(wait * 1000)}
  end
  if not refused and #names > 0 then
    redis.set_repl(redis.REPL_NONE)
    for nth, name in ipairs(names) do
      local many = limits[nth][5] or 1
      if redis.call('INCRBY', name, many) == many then redis.call('EXPIRE', name, 2 * limits[nth][2] + 10) end
    end
    redis.set_repl(redis.REPL_ALL)
  end
  return answers, refused
end

