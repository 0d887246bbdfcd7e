-- luacheck: globals muster
-- Ends an attempt as failed, or as timed out; the job waits again when a retry is given.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce, error (JSON text, kept as it is), ended ("failed" or "timed_out"), delay in ms
--       ("" = no retry), retries it uses, elsewhere ("1": for half a minute other workers only)
-- returns  "ok" or "lease_lost"

local elsewhere_ms = 30000

muster.register("fail", { "allow-oom" }, function(queue, args)
  local error, ended, delay, spent = args[5], args[6], tonumber(args[7]), tonumber(args[8])
  return muster.end_attempt(queue, args, "failed", function(job)
    local avoid = args[9] == "1" and muster.integer(muster.now(queue) + elsewhere_ms) .. " " .. job.worker_id or nil
    muster.fail_attempt(queue, job, ended, error, delay, spent, { avoid = avoid, reported = true })
  end, error)
end)
