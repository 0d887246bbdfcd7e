-- luacheck: globals muster
-- Ends a job as completed.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce, result (JSON text, kept as it is)
-- returns  {"job", job} or {"lease_lost"}

muster.register("complete", { "allow-oom" }, function(queue, args)
  local id, attempt, nonce, result = args[2], args[3], args[4], args[5]
  local ended = muster.end_attempt(queue, id, attempt, nonce, "completed", function(job)
    redis.call("SET", muster.key_of(queue, "result", id), result)
    job.result = result
    muster.finish(queue, job, "completed", "")
  end)
  return muster.ended_reply(queue, ended)
end)
