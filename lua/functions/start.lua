-- luacheck: globals muster
-- The worker has begun: assigned becomes processing. Repeating it changes nothing.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce
-- returns  {"ok"} or {"lease_lost"}

muster.register("start", { "allow-oom" }, function(queue, args)
  local id, attempt, nonce = args[2], args[3], args[4]
  local job = muster.held(queue, id, attempt, nonce)
  if not job then return { "lease_lost" } end
  if job.status == "assigned" then
    muster.change(queue, job, "status", "processing", "started_at", muster.integer(muster.now(queue)))
  end
  return { "ok" }
end)
