-- luacheck: globals muster
-- Lets a failed job wait again, with all its retries.
--
-- KEYS  the queue's prefix
-- ARGV  version, id
-- returns  {"job", job}, {"not_found"} or {"invalid_transition", status}

muster.register("retry", { "allow-oom" }, function(queue, args)
  local id = args[2]
  local job = muster.find(queue, id)
  if not job then return { "not_found" } end
  if job.status ~= "failed" then return { "invalid_transition", job.status } end
  muster.start_over(queue, job)
  return { "job", muster.reply(queue, job) }
end)
