-- luacheck: globals muster
-- The attempts of a job that ended while it went on, and reports that came too late to count. The attempt that runs, or
-- was the last, stands in the job itself.

local kept_attempts, kept_late = 100, 20

-- Keeps the attempt that the job has, which ended at `ended_at`.
function muster.keep_attempt(queue, job, ended, ended_at, error)
  local key = muster.key_of(queue, "attempts", job.id)
  redis.call("RPUSH", key, cjson.encode({
    job.attempt, job.worker_id, ended, job.assigned_at, job.started_at or "", ended_at, error or ""
  }))
  if tonumber(job.attempt) > kept_attempts then redis.call("LTRIM", key, -kept_attempts, -1) end
end

-- Keeps that an attempt reported its end although it did not hold the job.
function muster.keep_late(queue, id, attempt, report, error)
  local key = muster.key_of(queue, "late", id)
  redis.call("RPUSH", key, cjson.encode({ attempt, report, muster.integer(muster.now(queue)), error or "" }))
  redis.call("LTRIM", key, -kept_late, -1)
end
