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
-- Of the rest, what a job keeps, besides customer and workflow.
local kept_names = { "expires_at", "timeout", "base", "requirements" }

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

-- Whether an id is free ("free"), or stands for an equal request ("known") or for another one ("taken"); `there` is the
-- text of the key of its request.
function muster.id_state(queue, id, request, there)
  if not there then return "free" end
  if there == "" then there = muster.get(queue, muster.key_of(queue, "large", id)) end
  return there == request and "known" or "taken"
end

-- The texts of the keys of requests: of `count` ids, the first at `first`, one in each `length` arguments. And these
-- keys.
function muster.look_up_ids(queue, args, first, count, length)
  local prefix, keys = queue.prefix .. ":request:", {}
  for i = 1, count do keys[i] = prefix .. args[first + (i - 1) * length] end
  return muster.get_many(queue, keys), keys
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

-- Requests of more bytes are kept apart, and read one at a time by claims, which answer only so many bytes.
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
  -- See job.lua.
  local text = (later and "s" or "p") .. " 0   " .. job.service_required .. " " .. (job.customer or "") .. " "
    .. (job.workflow or "") .. " " .. job.class .. "    0  " .. job.sequence .. " " .. job.rank .. " "
    .. job.max_retries .. " " .. job.created_at
  if job.has_more then
    for _, name in ipairs(kept_names) do
      if job[name] then text = text .. "\n" .. name .. " " .. job[name] end
    end
  end
  local id, request = job.id, job.request
  muster.later_set(queue, muster.key_of(queue, "job", id), text)
  if #request > large then
    muster.later_set(queue, muster.key_of(queue, "large", id), request)
    request = ""
  end
  muster.later_set(queue, muster.key_of(queue, "request", id), request)
  muster.later_zadd(queue, muster.key(queue, "jobs"), job.sequence, job.id)
  return job
end

-- For jobs that wait at once and wake nobody, of which no more than the usual is known, when one of their job type was
-- stored by this call already: what will be let into their line, the rank from which on they come behind its front, the
-- beginning of their texts, and the end of their events. Else nil.
local function plain_line(queue, service_required)
  local class = queue.nobody_idle and queue.class_of and queue.class_of[service_required .. "||"]
  if not (class and queue.lines and queue.lines[class]) then return nil end
  local facts = muster.class_facts(queue, class)
  local from = facts.audience == "" and -math.huge or tonumber(facts.rank)
  if not from then return nil end
  return muster.later(queue, "zadds", muster.key_of(queue, "line", class)), from,
    "p 0   " .. service_required .. "   " .. class .. "    0  ", " " .. service_required .. "   " .. class .. " 0  "
end

-- Stores `count` submitted jobs, the id of the first one at `at`, each of `length` arguments. `there` has what their
-- requests' keys hold. Most are stored here; `otherwise(queue, args, at, there)` is asked for the others. Adds to the
-- replies its answers and `stored` for each that was stored here.
function muster.store_many(queue, args, at, count, length, step, keys, there, otherwise, replies, stored)
  local said, number = #replies, tonumber
  local prefix, sets, now = queue.prefix .. ":job:", muster.sets(queue), muster.now_text(queue)
  local jobs = muster.later(queue, "zadds", muster.key(queue, "jobs"))
  local jobs_size, step_ms = #jobs, number(step)
  local events = muster.events(queue)
  local service, line, line_size, from_rank, head, event
  local priority, place, place_text, max_retries
  for n = 1, count do
    local id, request, key = args[at], args[at + 2], keys[n]
    local is_plain = args[at + 5] == "" and not there[n] and not sets[key] and #request <= large and queue.step == step
    if is_plain and args[at + 1] ~= service then
      service = args[at + 1]
      line, from_rank, head, event = plain_line(queue, service)
      line_size = line and #line
    end
    if is_plain and args[at + 3] ~= priority then
      priority = args[at + 3]
      place = number(priority) and muster.now(queue) - number(priority) * step_ms
      place_text = place and muster.integer(place)
    end
    if is_plain and args[at + 4] ~= max_retries then
      max_retries = number(args[at + 4]) and args[at + 4]
    end
    if is_plain and line and place and max_retries and place >= from_rank then
      local sequence = muster.next_sequence(queue)
      sets[prefix .. id] = head .. sequence .. " " .. place_text .. " " .. max_retries .. " " .. now
      events[#events + 1] = "sp- " .. id .. event
      sets[key] = request
      jobs[jobs_size + 1], jobs[jobs_size + 2] = sequence, id
      line[line_size + 1], line[line_size + 2] = place_text, sequence .. id
      jobs_size, line_size = jobs_size + 2, line_size + 2
      replies[said + n] = stored
    else
      replies[said + n] = muster.try(otherwise, queue, args, at, sets[key] or there[n])
      service, priority, jobs_size = nil, nil, #jobs
    end
    at = at + length
  end
end
