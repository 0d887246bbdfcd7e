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
  local job = muster.find(queue, args[2])
  return job and muster.attempts_of(queue, job) or { "not_found" }
end)
