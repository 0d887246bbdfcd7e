-- luacheck: globals muster
-- Notes how far an attempt is.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce, progress (JSON text, kept as it is)
-- returns  {"ok"} or {"lease_lost"}

muster.register("progress", { "allow-oom" }, function(queue, args)
  local id, attempt, nonce, progress = args[2], args[3], args[4], args[5]
  if not muster.held_status(queue, id, attempt, nonce) then return { "lease_lost" } end
  redis.call("HSET", muster.key_of(queue, "job", id), "progress", progress)
  return { "ok" }
end)
