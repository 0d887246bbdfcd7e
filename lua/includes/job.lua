-- luacheck: globals muster
-- Reading, changing and answering one job. All that is known of it but its request and a long result is one text, so
-- that many jobs are read and written by one command each: what every job has, in one line and with spaces between, and
-- then a line "<name> <value>" for whatever else it has. No value has a line break: texts of JSON are written without.

local letters = {
  scheduled = "s", pending = "p", assigned = "a", processing = "r",
  completed = "c", failed = "f", cancelled = "x", expired = "e"
}
local words = {
  s = "scheduled", p = "pending", a = "assigned", r = "processing",
  c = "completed", f = "failed", x = "cancelled", e = "expired"
}
-- What follows the nonce in the text of a held job: worker_id, then what events tell of the job (service_required,
-- customer, workflow and class), and where finished_at would stand.
muster.of_event = "^(%S*) (%S* %S* %S* %S*) ()"

-- The letters of some as `string.byte` gives them.
muster.assigned, muster.processing, muster.completed = 97, 114, 99

local rarely_there = {
  "expires_at", "timeout", "base", "requirements", "avoid", "error", "progress", "result"
}

-- The text of a job: status (its letter), attempt, nonce, worker_id, service_required, customer, workflow, class,
-- finished_at, started_at, assigned_at, retry_count, ended, sequence, rank, max_retries, created_at. What comes often
-- (submit, claim, start and complete) reads and writes no more of it than it needs, and relies on this order.
local function packed(job)
  local text = letters[job.status] .. " " .. job.attempt .. " " .. (job.nonce or "") .. " " .. (job.worker_id or "")
    .. " " .. job.service_required .. " " .. (job.customer or "") .. " " .. (job.workflow or "") .. " " .. job.class
    .. " " .. (job.finished_at or "") .. " " .. (job.started_at or "") .. " " .. (job.assigned_at or "")
    .. " " .. job.retry_count .. " " .. (job.ended or "") .. " " .. job.sequence .. " " .. job.rank
    .. " " .. job.max_retries .. " " .. job.created_at
  for _, name in ipairs(rarely_there) do
    local value = job[name]
    if value and value ~= "" then text = text .. "\n" .. name .. " " .. value end
  end
  return text
end

-- The job of such a text, as a table of strings.
function muster.parse(id, text)
  local job = { id = id }
  job.status, job.attempt, job.nonce, job.worker_id, job.service_required, job.customer, job.workflow, job.class,
    job.finished_at, job.started_at, job.assigned_at, job.retry_count, job.ended, job.sequence, job.rank,
    job.max_retries, job.created_at = string.match(
      text,
      "^(%a) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) ([^\n]*)"
    )
  job.status = words[job.status]
  for name, value in string.gmatch(text, "\n(%S+) ([^\n]*)") do job[name] = value end
  -- A report that completes a job says no more than this.
  if job.status == "completed" then job.ended, job.error = "completed", nil end
  return job
end

-- Of such a text: status, worker_id, service_required, customer, workflow.
function muster.kind_of(text)
  local letter, worker_id, service_required, customer, workflow = string.match(
    text, "^(%a) %S* %S* (%S*) (%S*) (%S*) (%S*) "
  )
  return words[letter], worker_id, service_required, customer, workflow
end

-- And created_at.
function muster.created_at_of(text)
  return string.match(text, "^[^\n]* (%d+)")
end

-- The job with this id, or nil.
function muster.find(queue, id)
  local text = muster.get(queue, muster.key_of(queue, "job", id))
  return text and muster.parse(id, text) or nil
end

-- Stores fields, given as name, value, name, value…, all of them strings.
function muster.change(queue, job, ...)
  local changes = { ... }
  for i = 1, #changes, 2 do job[changes[i]] = changes[i + 1] end
  muster.later_set(queue, muster.key_of(queue, "job", job.id), packed(job))
end

function muster.is_held(job)
  return job.status == "assigned" or job.status == "processing"
end

function muster.is_waiting(job)
  return job.status == "pending" or job.status == "scheduled"
end

function muster.is_finished(job)
  return not muster.is_held(job) and not muster.is_waiting(job)
end

-- A job as it is answered: id, request, result, then its state in this order. False and "" stand for null.
function muster.reply_with(job, request, result)
  return {
    job.id,
    request,
    result,
    job.status,
    job.attempt,
    job.retry_count,
    job.worker_id or false,
    job.progress or false,
    job.error or false,
    job.created_at,
    job.assigned_at or false,
    job.started_at or false,
    job.finished_at or false
  }
end

-- The text of a job's request; false when there is none. Long ones are kept apart.
function muster.request(queue, id)
  local text = muster.get(queue, muster.key_of(queue, "request", id))
  return text == "" and muster.get(queue, muster.key_of(queue, "large", id)) or text
end

-- The same with what is kept apart. The request is left out for a caller that has it.
function muster.reply(queue, job, without_request)
  return muster.reply_with(
    job,
    not without_request and muster.request(queue, job.id),
    job.status == "completed" and (job.result or muster.get(queue, muster.key_of(queue, "result", job.id)))
  )
end

-- Bytes of the large parts of such an answer.
function muster.reply_size(reply)
  return #reply[2] + (reply[3] and #reply[3] or 0)
end
