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

-- What is known of the attempts of a job: see functions/attempts.lua.
function muster.attempts_of(queue, job)
  local last = {}
  if job.worker_id and job.worker_id ~= "" then
    local runs = muster.is_held(job)
    last = {
      job.attempt, job.worker_id, runs and "" or job.ended, job.assigned_at, job.started_at or "",
      job.finished_at or "", not runs and job.error or ""
    }
  end
  return {
    "attempts", last,
    redis.call("LRANGE", muster.key_of(queue, "attempts", job.id), 0, -1),
    redis.call("LRANGE", muster.key_of(queue, "late", job.id), 0, -1)
  }
end

-- Keeps that an attempt reported its end although it did not hold the job.
function muster.keep_late(queue, id, attempt, report, error)
  local key = muster.key_of(queue, "late", id)
  redis.call("RPUSH", key, cjson.encode({ attempt, report, muster.integer(muster.now(queue)), error or "" }))
  redis.call("LTRIM", key, -kept_late, -1)
end
