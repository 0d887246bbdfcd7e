-- luacheck: globals muster
-- Leases: who holds a job, and until when.

function muster.held_key(queue, worker_id)
  return muster.key_of(queue, "held", worker_id)
end

function muster.hold(queue, job, worker_id, lease_ms)
  redis.call("ZADD", muster.key(queue, "leases"), muster.integer(muster.now(queue) + lease_ms), job.id)
  redis.call("SADD", muster.held_key(queue, worker_id), job.id)
end

local function release(queue, job)
  redis.call("ZREM", muster.key(queue, "leases"), job.id)
  redis.call("SREM", muster.held_key(queue, job.worker_id), job.id)
end

-- Ends the hold on a job, which waits again: at once, or after `delay` ms. It keeps its rank.
function muster.wait_again(queue, job, delay, error, retry_count)
  release(queue, job)
  local later = delay > 0
  muster.insert(queue, job, later and muster.now(queue) + delay or nil)
  muster.change(
    queue, job,
    "status", later and "scheduled" or "pending",
    "error", error or job.error or "",
    "retry_count", retry_count or job.retry_count,
    "worker_id", "",
    "progress", "",
    "assigned_at", "",
    "started_at", "",
    "ended", job.ended or ""
  )
end

-- Ends a job for good, whether it waits or is held.
function muster.finish(queue, job, status, error)
  if muster.is_waiting(job) then muster.withdraw(queue, job) else release(queue, job) end
  local now = muster.integer(muster.now(queue))
  redis.call("ZADD", muster.key(queue, "finished"), now, job.id)
  if status == "failed" then redis.call("ZADD", muster.key(queue, "failed"), job.sequence, job.id) end
  muster.change(
    queue, job,
    "status", status,
    "error", error or job.error or "",
    "finished_at", now,
    "ended", job.ended or ""
  )
end

-- A failed attempt: the job waits again for a retry (counted when `spent` is 1), or has failed for good without one.
function muster.fail_attempt(queue, job, error, delay, spent)
  if not delay then return muster.finish(queue, job, "failed", error) end
  muster.wait_again(queue, job, delay, error, muster.integer(tonumber(job.retry_count) + spent))
end

-- Lets a failed job wait again at once, with all its retries. It keeps its rank, its attempt number and its error.
function muster.start_over(queue, job)
  redis.call("ZREM", muster.key(queue, "finished"), job.id)
  redis.call("ZREM", muster.key(queue, "failed"), job.id)
  muster.insert(queue, job)
  muster.change(
    queue, job,
    "status", "pending",
    "retry_count", "0",
    "worker_id", "",
    "progress", "",
    "assigned_at", "",
    "started_at", "",
    "finished_at", ""
  )
end

function muster.is_expired(queue, job)
  return job.expires_at and tonumber(job.expires_at) <= muster.now(queue)
end

function muster.expire(queue, job)
  muster.finish(queue, job, "expired", '{"kind":"Expired","message":"waited past expires_at"}')
end

-- Removes a finished job and all that is known of it.
function muster.forget(queue, job)
  redis.call("ZREM", muster.key(queue, "finished"), job.id)
  redis.call("ZREM", muster.key(queue, "failed"), job.id)
  redis.call("ZREM", muster.key(queue, "jobs"), job.id)
  redis.call(
    "DEL",
    muster.key_of(queue, "job", job.id),
    muster.key_of(queue, "request", job.id),
    muster.key_of(queue, "result", job.id)
  )
end
