-- luacheck: globals muster
-- Ends a job for good, waiting or held; the process that holds it is told. Repeating it changes nothing.
--
-- KEYS  the queue's prefix
-- ARGV  version, id
-- returns  {"job", job}, {"not_found"} or {"invalid_transition", status}

muster.register("cancel", { "allow-oom" }, function(queue, args)
  local id = args[2]
  local job = muster.find(queue, id)
  if not job then return { "not_found" } end
  if muster.is_held(job) then
    muster.tell_fenced(queue, job)
    muster.finish(queue, job, "cancelled", nil, "cancelled")
  elseif muster.is_waiting(job) then
    muster.finish(queue, job, "cancelled")
  elseif job.status ~= "cancelled" then
    return { "invalid_transition", job.status }
  end
  return { "job", muster.reply(queue, job) }
end)
