-- luacheck: globals muster
-- The worker has begun: assigned becomes processing. Repeating it changes nothing.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce
-- returns  "ok" or "lease_lost"

muster.register_often("start", { "allow-oom" }, function(queue, args, first)
  local id, attempt, nonce = args[first], args[first + 1], args[first + 2]
  local status = muster.held_status(queue, id, attempt, nonce)
  if not status then return "lease_lost" end
  if status == "assigned" then
    local key = muster.key_of(queue, "job", id)
    redis.call("HSET", key, "status", "processing", "started_at", muster.now_text(queue))
  end
  return "ok"
end)
