-- luacheck: globals muster
-- Submitted jobs: reading them from the arguments of a call, and storing them.

-- Arguments of one of them: id, service_required, request (canonical text), priority (effective), workflow_datetime
-- (ms or ""), run_at (ms or ""), expires_at (ms or ""), max_retries, timeout (ms or ""), customer (or ""), workflow
-- (or ""), base (stands for service_required with the requirements; "" without any), requirements (normal text or "").
muster.submission_length = 13

local function given(text)
  return text ~= "" and text or nil
end

function muster.submission(args, first)
  return {
    id = args[first],
    service_required = args[first + 1],
    request = args[first + 2],
    priority = tonumber(args[first + 3]),
    workflow_datetime = tonumber(args[first + 4]),
    run_at = tonumber(args[first + 5]),
    expires_at = given(args[first + 6]),
    max_retries = args[first + 7],
    timeout = given(args[first + 8]),
    customer = given(args[first + 9]),
    workflow = given(args[first + 10]),
    base = given(args[first + 11]),
    requirements = given(args[first + 12])
  }
end

-- Whether its id is free ("free"), or stands for an equal request ("known") or for another one ("taken").
function muster.id_state(queue, id, request)
  local there = redis.call("GET", muster.key_of(queue, "request", id))
  if not there then return "free" end
  return there == request and "known" or "taken"
end

local one_day = 24 * 3600000

-- Rank: effective time - effective priority * step. The same rule as core's Rank; it is here because created_at is.
local function rank(created_at, submission, step)
  local workflow_datetime, run_at = submission.workflow_datetime, submission.run_at
  local time = created_at
  if workflow_datetime then time = math.max(created_at - one_day, math.min(created_at, workflow_datetime)) end
  if run_at then time = math.max(time, run_at) end
  return time - submission.priority * step
end

local optional = { "expires_at", "timeout", "customer", "workflow", "base", "requirements" }

-- Stores a job whose id is free, and returns it.
function muster.store(queue, submission, step)
  local now, run_at = muster.now(queue), submission.run_at
  local later = run_at and run_at > now
  local job = {
    id = submission.id,
    service_required = submission.service_required,
    sequence = muster.integer(redis.call("HINCRBY", muster.key(queue, "meta"), "sequence", 1)),
    rank = muster.integer(rank(now, submission, tonumber(step)))
  }
  for _, name in ipairs(optional) do job[name] = submission[name] end
  muster.insert(queue, job, later and run_at or nil)
  local fields = {
    "service_required", job.service_required,
    "sequence", job.sequence,
    "rank", job.rank,
    "status", later and "scheduled" or "pending",
    "class", job.class,
    "attempt", "0",
    "retry_count", "0",
    "max_retries", submission.max_retries,
    "created_at", muster.integer(now)
  }
  for _, name in ipairs(optional) do
    if job[name] then
      fields[#fields + 1] = name
      fields[#fields + 1] = job[name]
    end
  end
  muster.change(queue, job, unpack(fields))
  redis.call("SET", muster.key_of(queue, "request", job.id), submission.request)
  redis.call("ZADD", muster.key(queue, "jobs"), job.sequence, job.id)
  return job
end
