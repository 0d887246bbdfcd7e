-- luacheck: globals muster
-- Notes how far an attempt is.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce, progress (JSON text, kept as it is)
-- returns  "ok" or "lease_lost"

muster.register_often("progress", { "allow-oom" }, function(queue, args, first)
  local id, attempt, nonce, progress = args[first], args[first + 1], args[first + 2], args[first + 3]
  if not muster.held_status(queue, id, attempt, nonce) then return "lease_lost" end
  redis.call("HSET", muster.key_of(queue, "job", id), "progress", progress)
  return "ok"
end)
