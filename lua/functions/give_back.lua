-- luacheck: globals muster
-- Hands a job back without using a retry.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce
-- returns  {"ok"} or {"lease_lost"}

muster.register("give_back", { "allow-oom" }, function(queue, args)
  local id, attempt, nonce = args[2], args[3], args[4]
  local done = muster.end_attempt(queue, id, attempt, nonce, "returned", function(job)
    muster.wait_again(queue, job, 0)
  end)
  return { done and "ok" or "lease_lost" }
end)
