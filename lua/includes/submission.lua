-- luacheck: globals muster
-- Submitted jobs: reading them from the arguments of a call, and storing them.

-- Arguments of one of them: id, service_required, request (canonical text), priority (effective), max_retries, and the
-- rest: "" when there is none of it, else lines with workflow_datetime, run_at, expires_at and timeout (ms), customer,
-- workflow, base (stands for service_required with the requirements) and requirements (their normal text), each empty
-- when it is not given.
muster.submission_length = 6

local rest_names = {
  "workflow_datetime", "run_at", "expires_at", "timeout", "customer", "workflow", "base", "requirements"
}
local more_numbers = { "workflow_datetime", "run_at", "expires_at", "timeout" }
-- Of the rest, what a job keeps.
local kept_names = { "expires_at", "timeout", "customer", "workflow", "base", "requirements" }

local function check_number(submission, name)
  if not tonumber(submission[name]) then error({ err = "ERR " .. name .. " is no number" }, 0) end
end

function muster.submission(args, first)
  -- With all that the job will have, so that the table need not grow.
  local submission = {
    id = args[first],
    service_required = args[first + 1],
    request = args[first + 2],
    priority = args[first + 3],
    max_retries = args[first + 4],
    attempt = "0",
    retry_count = "0",
    sequence = false,
    rank = false,
    status = false,
    class = false,
    created_at = false,
    is_new = true
  }
  local rest = args[first + 5]
  if rest ~= "" then
    submission.has_more = true
    local at = 0
    for value in string.gmatch(rest .. "\n", "([^\n]*)\n") do
      at = at + 1
      if value ~= "" then submission[rest_names[at]] = value end
    end
  end
  -- What is no number must not be found out half way.
  check_number(submission, "priority")
  check_number(submission, "max_retries")
  if submission.has_more then
    for _, name in ipairs(more_numbers) do
      if submission[name] then check_number(submission, name) end
    end
  end
  return submission
end

-- Reads at once what ids stand for: `count` of them, the first at `first`, one in each `length` arguments.
function muster.look_up_ids(queue, args, first, count, length)
  local keys = {}
  for i = 1, count do keys[i] = muster.key_of(queue, "request", args[first + (i - 1) * length]) end
  if not keys[1] then return end
  local requests = queue.requests or {}
  queue.requests = requests
  for i, request in ipairs(redis.call("MGET", unpack(keys))) do requests[args[first + (i - 1) * length]] = request end
end

-- Whether an id that was looked up is free ("free"), or stands for an equal request ("known") or for another one
-- ("taken").
function muster.id_state(queue, id, request)
  local there = queue.requests[id]
  if not there then return "free" end
  return there == request and "known" or "taken"
end

local one_day = 24 * 3600000

-- Rank: effective time - effective priority * step. The same rule as core's Rank; it is here because created_at is.
local function rank(created_at, submission, step)
  local workflow_datetime, run_at = tonumber(submission.workflow_datetime), tonumber(submission.run_at)
  local time = created_at
  if workflow_datetime then time = math.max(created_at - one_day, math.min(created_at, workflow_datetime)) end
  if run_at then time = math.max(time, run_at) end
  return time - tonumber(submission.priority) * step
end

-- Requests of more bytes are read one at a time by claims, which answer only so many bytes.
local large = 16 * 1024

-- Stores a job whose id is free, and returns it: the submission, which becomes the job. One that was here before has
-- its sequence and created_at already.
function muster.store(queue, job, step)
  local now, run_at = muster.now(queue), tonumber(job.run_at)
  local later = run_at and run_at > now
  job.sequence = job.sequence or muster.next_sequence(queue)
  job.rank = muster.integer(rank(now, job, tonumber(step)))
  job.status = later and "scheduled" or "pending"
  job.created_at = job.created_at or muster.now_text(queue)
  muster.insert(queue, job, later and run_at or nil)
  local key = muster.key_of(queue, "job", job.id)
  redis.call(
    "HSET", key,
    "status", job.status,
    "class", job.class,
    "born", muster.born(job)
  )
  if job.has_more then
    local fields = {}
    for _, name in ipairs(kept_names) do
      if job[name] then
        fields[#fields + 1] = name
        fields[#fields + 1] = job[name]
      end
    end
    if fields[1] then redis.call("HSET", key, unpack(fields)) end
  end
  if #job.request > large then redis.call("HSET", key, "large", "1") end
  muster.later_set(queue, muster.key_of(queue, "request", job.id), job.request)
  queue.requests[job.id] = job.request
  muster.later_zadd(queue, muster.key(queue, "jobs"), job.sequence, job.id)
  return job
end
