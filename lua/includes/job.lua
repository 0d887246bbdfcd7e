-- luacheck: globals muster
-- Reading, changing and answering one job. A job is a table of the strings stored in its hash, plus its id.

-- What never changes stands in one field: each field costs more than its bytes.
function muster.born(job)
  return table.concat({ job.sequence, job.rank, job.max_retries, job.created_at, job.service_required }, " ")
end

-- The job type in what was born, and when it was created. From the front: Lua looks for an end from every beginning.
function muster.service_of(born)
  local created_at, service = string.match(born, "^%S+ %S+ %S+ (%S+) (%S+)$")
  return service, created_at
end

function muster.read_born(job)
  job.sequence, job.rank, job.max_retries, job.created_at, job.service_required =
    string.match(job.born, "^(%S+) (%S+) (%S+) (%S+) (%S+)$")
  job.attempt, job.retry_count = job.attempt or "0", job.retry_count or "0"
  return job
end

-- The job with this id, or nil.
function muster.find(queue, id)
  local stored = redis.call("HGETALL", muster.key_of(queue, "job", id))
  if #stored == 0 then return nil end
  local job = { id = id }
  for i = 1, #stored, 2 do job[stored[i]] = stored[i + 1] end
  -- A report that completes a job says no more than this.
  if job.status == "completed" then job.ended, job.error = "completed", nil end
  return muster.read_born(job)
end

-- Stores fields, given as name, value, name, value…, all of them strings.
function muster.change(queue, job, ...)
  redis.call("HSET", muster.key_of(queue, "job", job.id), ...)
  local changes = { ... }
  for i = 1, #changes, 2 do job[changes[i]] = changes[i + 1] end
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

-- The same with what is kept apart. The request is left out for a caller that has it.
function muster.reply(queue, job, without_request)
  return muster.reply_with(
    job,
    not without_request and muster.get(queue, muster.key_of(queue, "request", job.id)),
    job.status == "completed" and (job.result or muster.get(queue, muster.key_of(queue, "result", job.id)))
  )
end

-- Bytes of the large parts of such an answer.
function muster.reply_size(reply)
  return #reply[2] + (reply[3] and #reply[3] or 0)
end
