-- luacheck: globals muster
-- Stores a job, or finds the one with this id and an equal request. No allow-oom: the only function that must fail
-- when memory is short.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, service_required, request (canonical text), priority (effective), workflow_datetime (ms or ""),
--       run_at (ms or ""), expires_at (ms or ""), max_retries, priority_step_ms
-- returns  {"created" | "known", job} without the request text, which the caller has;
--          {"already_exists"}: the id is taken by another request;
--          {"priority_step", noted}: the queue was made with another step

local one_day = 24 * 3600000

-- Rank: effective time - effective priority * step. The same rule as core's Rank; it is here because created_at is.
local function rank(created_at, priority, workflow_datetime, run_at, step)
  local time = created_at
  if workflow_datetime then time = math.max(created_at - one_day, math.min(created_at, workflow_datetime)) end
  if run_at then time = math.max(time, run_at) end
  return time - priority * step
end

muster.register("submit", {}, function(queue, args)
  local id, service_required, request = args[2], args[3], args[4]
  local priority, workflow_datetime, run_at = tonumber(args[5]), tonumber(args[6]), tonumber(args[7])
  local expires_at, max_retries, step = args[8], args[9], args[10]

  local refused = muster.refuse_other_step(queue, step)
  if refused then return refused end
  local known = redis.call("GET", muster.key_of(queue, "request", id))
  if known == request then
    return { "known", muster.reply(queue, muster.find(queue, id), true) }
  elseif known then
    return { "already_exists" }
  end

  local now = muster.now(queue)
  local later = run_at and run_at > now
  local job = {
    id = id,
    service_required = service_required,
    sequence = muster.integer(redis.call("HINCRBY", muster.key(queue, "meta"), "sequence", 1)),
    rank = muster.integer(rank(now, priority, workflow_datetime, run_at, tonumber(step))),
    expires_at = expires_at ~= "" and expires_at or nil
  }
  redis.call("SET", muster.key_of(queue, "request", id), request)
  muster.change(
    queue, job,
    "service_required", service_required,
    "sequence", job.sequence,
    "rank", job.rank,
    "status", later and "scheduled" or "pending",
    "attempt", "0",
    "retry_count", "0",
    "max_retries", max_retries,
    "created_at", muster.integer(now)
  )
  if job.expires_at then muster.change(queue, job, "expires_at", job.expires_at) end
  redis.call("ZADD", muster.key(queue, "jobs"), job.sequence, id)
  muster.insert(queue, job, later and run_at or nil)
  return { "created", muster.reply(queue, job, true) }
end)
