-- luacheck: globals muster
-- Notes how far an attempt is.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce, progress (JSON text, kept as it is)
-- returns  {"ok"} or {"lease_lost"}

muster.register("progress", { "allow-oom" }, function(queue, args)
  local id, attempt, nonce, progress = args[2], args[3], args[4], args[5]
  local job = muster.held(queue, id, attempt, nonce)
  if not job then return { "lease_lost" } end
  muster.change(queue, job, "progress", progress)
  return { "ok" }
end)
