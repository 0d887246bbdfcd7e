-- luacheck: globals muster
-- Lets failed jobs wait again, by rising sequence: those of at most 20 that the filter means. A caller goes on with
-- `before` and `next` of the last reply, so that no job is retried twice, not even one that fails again meanwhile.
--
-- KEYS  the queue's prefix
-- ARGV  version, service_required ("" = any), kind of the error ("" = any), before (ms: only jobs that finished by
--       then; "" = by now), after (a sequence, "" = from the oldest)
-- returns  {count, before, next}; next is "" when nothing follows

-- Errors are kept as they come, their kind first (see JobCommands).
local function has_kind(job, kind)
  local start = '{"kind":"' .. kind .. '"'
  return string.sub(job.error or "", 1, #start) == start
end

local looked_at = 20

muster.register("retry_failed", { "allow-oom" }, function(queue, args)
  local service_required, kind, before, after = args[2], args[3], args[4], args[5]
  if before == "" then before = muster.integer(muster.now(queue)) end
  local entries = redis.call(
    "ZRANGE", muster.key(queue, "failed"), after == "" and "-inf" or "(" .. after, "+inf",
    "BYSCORE", "LIMIT", 0, looked_at, "WITHSCORES"
  )
  local count = 0
  for i = 1, #entries, 2 do
    local job = muster.find(queue, entries[i])
    if not job or job.status ~= "failed" then
      redis.call("ZREM", muster.key(queue, "failed"), entries[i])
    elseif tonumber(job.finished_at) <= tonumber(before)
      and (service_required == "" or job.service_required == service_required)
      and (kind == "" or has_kind(job, kind)) then
      muster.start_over(queue, job)
      count = count + 1
    end
  end
  return { muster.integer(count), before, #entries == 2 * looked_at and entries[#entries] or "" }
end)
