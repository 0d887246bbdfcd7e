-- luacheck: globals muster
-- Notes how far an attempt is.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce, progress (JSON text, kept as it is), unsaid ("1": it is no event, because the log
--       is too long)
-- returns  "ok" or "lease_lost"

muster.register_often("progress", { "allow-oom" }, function(queue, args, first)
  local id, attempt, nonce, progress = args[first], args[first + 1], args[first + 2], args[first + 3]
  local job = muster.held_briefly(queue, id, attempt, nonce)
  if not job then return "lease_lost" end
  redis.call("HSET", muster.key_of(queue, "job", id), "progress", progress)
  if args[first + 4] ~= "1" then muster.tell(queue, job, "job.progress", job.worker_id, nil, progress) end
  return "ok"
end)
