-- luacheck: globals muster
-- Ends a job as completed.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce, result (JSON text, kept as it is)
-- returns  {"ok"} or {"lease_lost"}

muster.register("complete", { "allow-oom" }, function(queue, args)
  return muster.end_attempt(queue, args, "completed", "completed", function(job)
    redis.call("SET", muster.key_of(queue, "result", job.id), args[5])
    muster.finish(queue, job, "completed", "", "completed")
  end)
end)
