-- luacheck: globals muster
-- Leases: who holds a job, and until when; and what becomes of jobs whose attempt has ended.

function muster.held_key(queue, worker_id)
  return muster.key_of(queue, "held", worker_id)
end

-- How many jobs a worker holds, with those that this call has given it and without those that it has let go: both are
-- written at its end.
function muster.held_count(queue, worker_id)
  local changes = queue.held_changes or {}
  return redis.call("HLEN", muster.held_key(queue, worker_id)) + (changes[worker_id] or 0)
end

local function count_held(queue, worker_id, change)
  queue.held_changes = queue.held_changes or {}
  queue.held_changes[worker_id] = (queue.held_changes[worker_id] or 0) + change
end

-- A worker holds these jobs, given by their ids, until then.
function muster.hold(queue, ids, worker_id, inbox, until_ms)
  local leases = muster.later(queue, "zadds", muster.key(queue, "leases"))
  local held = muster.later(queue, "hsets", muster.held_key(queue, worker_id))
  local leases_size, held_size = #leases, #held
  for _, id in ipairs(ids) do
    leases[leases_size + 1], leases[leases_size + 2] = until_ms, id
    held[held_size + 1], held[held_size + 2] = id, inbox
    leases_size, held_size = leases_size + 2, held_size + 2
  end
  count_held(queue, worker_id, #ids)
end

-- A worker holds these no more.
function muster.release(queue, ids, worker_id)
  if not ids[1] then return end
  local leases = muster.later(queue, "zrems", muster.key(queue, "leases"))
  local held = muster.later(queue, "hdels", muster.held_key(queue, worker_id))
  local leases_size, held_size = #leases, #held
  for i, id in ipairs(ids) do leases[leases_size + i], held[held_size + i] = id, id end
  count_held(queue, worker_id, -#ids)
end

-- When a lease that is renewed now ends: never later than one lease after the attempt's time is over.
function muster.lease_end(queue, job, lease_ms)
  local until_ms = muster.now(queue) + lease_ms
  if job.timeout then
    until_ms = math.min(until_ms, tonumber(job.assigned_at) + tonumber(job.timeout) + lease_ms)
  end
  return until_ms
end

-- Ends the attempt that holds a job, which waits again: at once, or after `delay` ms. It keeps its rank. `changes` may
-- have: error (of this attempt), retry_count, avoid (the job is left to others until then), reported (the attempt said
-- itself that it ended, and may say so again).
--
-- It is let go last: when something fails before, the attempt still holds it, and all of this can be done again.
function muster.wait_again(queue, job, ended, delay, changes)
  local later, worker_id = delay > 0, job.worker_id
  muster.insert(queue, job, later and muster.now(queue) + delay or nil)
  muster.keep_attempt(queue, job, ended, muster.now_text(queue), changes.error)
  muster.change(
    queue, job,
    "status", later and "scheduled" or "pending",
    "class", job.class,
    "error", changes.error or job.error or "",
    "retry_count", changes.retry_count or job.retry_count,
    "worker_id", "",
    "progress", "",
    "assigned_at", "",
    "started_at", "",
    "ended", ended,
    "nonce", changes.reported and job.nonce or ""
  )
  if changes.avoid then muster.change(queue, job, "avoid", changes.avoid) end
  muster.tell(queue, job, "job.requeued", worker_id, ended, changes.error)
  muster.release(queue, { job.id }, worker_id)
end

-- Ends a job for good, whether it waits or is held; `ended` is how its attempt ended.
function muster.finish(queue, job, status, error, ended)
  local waited, from = muster.is_waiting(job), job.status
  muster.later_zadd(queue, muster.key(queue, "finished"), muster.now_text(queue), job.id)
  if status == "failed" then muster.later_zadd(queue, muster.key(queue, "failed"), job.sequence, job.id) end
  muster.change(
    queue, job,
    "status", status,
    "error", error or job.error or "",
    "finished_at", muster.now_text(queue),
    "ended", ended or job.ended or ""
  )
  muster.tell(queue, job, "job." .. status, not waited and job.worker_id, ended, error)
  if waited then muster.withdraw(queue, job, from) else muster.release(queue, { job.id }, job.worker_id) end
end

-- A failed attempt: the job waits again for a retry (counted when `spent` is 1), or has failed for good without one.
-- `more` goes with the changes of `wait_again`.
function muster.fail_attempt(queue, job, ended, error, delay, spent, more)
  if not delay then
    muster.finish(queue, job, "failed", error, ended)
    if not more.reported then muster.change(queue, job, "nonce", "") end
    return
  end
  more.error = error
  more.retry_count = muster.integer(tonumber(job.retry_count) + spent)
  muster.wait_again(queue, job, ended, delay, more)
end

-- Lets a failed job wait again at once, with all its retries. It keeps its rank, its attempt number and its error.
function muster.start_over(queue, job)
  muster.insert(queue, job)
  if job.worker_id and job.worker_id ~= "" then
    muster.keep_attempt(queue, job, job.ended, job.finished_at, job.error)
  end
  muster.change(
    queue, job,
    "status", "pending",
    "class", job.class,
    "retry_count", "0",
    "avoid", "",
    "worker_id", "",
    "progress", "",
    "assigned_at", "",
    "started_at", "",
    "finished_at", ""
  )
  muster.tell(queue, job, "job.retried")
  muster.later_zrem(queue, muster.key(queue, "finished"), job.id)
  muster.later_zrem(queue, muster.key(queue, "archived"), job.id)
  muster.later_zrem(queue, muster.key(queue, "failed"), job.id)
end

function muster.is_expired(queue, job)
  return job.expires_at and tonumber(job.expires_at) <= muster.now(queue)
end

function muster.expire(queue, job)
  muster.finish(queue, job, "expired", '{"kind":"Expired","message":"waited past expires_at"}')
end

-- Removes a finished job and all that is known of it.
function muster.forget(queue, job)
  for _, index in ipairs({ "finished", "archived", "failed", "jobs" }) do
    muster.later_zrem(queue, muster.key(queue, index), job.id)
  end
  muster.unlink(queue, {
    muster.key_of(queue, "job", job.id),
    muster.key_of(queue, "request", job.id),
    muster.key_of(queue, "large", job.id),
    muster.key_of(queue, "result", job.id),
    muster.key_of(queue, "attempts", job.id),
    muster.key_of(queue, "late", job.id)
  })
end
