-- luacheck: globals muster
-- What is known of the attempts of a job.
--
-- KEYS  the queue's prefix
-- ARGV  version, id
-- returns  {"not_found"} or {"attempts", last, {attempt…}, {late report…}}: the last attempt as attempt, worker_id, how
--          it ended ("" while it runs), assigned_at, started_at, ended_at, error, or an empty list when there is none
--          or it is among the others, which are JSON arrays of the same; late reports are JSON arrays of attempt,
--          report, time, error

muster.register("attempts", { "no-writes", "allow-oom" }, function(queue, args)
  local id = args[2]
  local job = muster.find(queue, id)
  if not job then return { "not_found" } end
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
    redis.call("LRANGE", muster.key_of(queue, "attempts", id), 0, -1),
    redis.call("LRANGE", muster.key_of(queue, "late", id), 0, -1)
  }
end)
