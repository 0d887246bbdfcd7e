-- luacheck: globals muster
-- Ends a job as completed.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce, result (JSON text, kept as it is)
-- returns  {"ok"} or {"lease_lost"}

-- Results of so many bytes need no key of their own.
local small = 60

muster.register("complete", { "allow-oom" }, function(queue, args)
  return muster.end_attempt(queue, args, "completed", function(job)
    local result = args[5]
    if #result > small then
      redis.call("SET", muster.key_of(queue, "result", job.id), result)
      result = nil
    end
    muster.finish(queue, job, "completed", "", "completed", result)
  end)
end)
