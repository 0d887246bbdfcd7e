-- luacheck: globals muster
-- Ends an attempt as failed; the job waits again when a retry is given.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce, error (JSON text, kept as it is), delay in ms ("" = no retry), retries it uses
-- returns  {"job", job} or {"lease_lost"}

muster.register("fail", { "allow-oom" }, function(queue, args)
  local id, attempt, nonce, error = args[2], args[3], args[4], args[5]
  local delay, spent = tonumber(args[6]), tonumber(args[7])
  local ended = muster.end_attempt(queue, id, attempt, nonce, "failed", function(job)
    muster.fail_attempt(queue, job, error, delay, spent)
  end)
  return muster.ended_reply(queue, ended)
end)
