-- luacheck: globals muster
-- Hands a job back without using a retry.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce
-- returns  "ok" or "lease_lost"

muster.register("give_back", { "allow-oom" }, function(queue, args)
  return muster.end_attempt(queue, args, "returned", function(job)
    muster.wait_again(queue, job, "returned", 0, { reported = true })
  end)
end)
