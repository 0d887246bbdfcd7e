-- luacheck: globals muster
-- The worker has begun: assigned becomes processing. Repeating it changes nothing.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce
-- returns  "ok" or "lease_lost"

muster.register_often("start", { "allow-oom" }, function(queue, args, first)
  local id, attempt, nonce = args[first], args[first + 1], args[first + 2]
  local job = muster.held_briefly(queue, id, attempt, nonce)
  if not job then return "lease_lost" end
  if job.status == "assigned" then
    muster.change(queue, job, "status", "processing", "started_at", muster.now_text(queue))
    muster.tell(queue, job, "job.started", job.worker_id)
  end
  return "ok"
end)
