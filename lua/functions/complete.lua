-- luacheck: globals muster
-- Ends a job as completed.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce, result (JSON text, kept as it is)
-- returns  "ok" or "lease_lost"

-- Results of so many bytes need no key of their own.
local small = 60

-- Of all reports this one comes most often, and reads and writes no more of the job than it needs.
muster.register_often("complete", { "allow-oom" }, function(queue, args, first)
  local id, attempt, nonce, result = args[first], args[first + 1], args[first + 2], args[first + 3]
  if not result then error({ err = "ERR bad arguments" }, 0) end
  local key = muster.key_of(queue, "job", id)
  local known = redis.call(
    "HMGET", key, "status", "attempt", "nonce", "worker_id", "born", "customer", "workflow", "class"
  )
  local status = known[1]
  if known[2] == attempt and known[3] == nonce then
    if status == "completed" then return "ok" end
    if status == "assigned" or status == "processing" then
      local now = muster.now_text(queue)
      if #result <= small then
        redis.call("HSET", key, "status", "completed", "finished_at", now, "result", result)
      else
        muster.later_set(queue, muster.key_of(queue, "result", id), result)
        redis.call("HSET", key, "status", "completed", "finished_at", now)
      end
      local job = {
        id = id, status = "completed", attempt = attempt, born = known[5], customer = known[6], workflow = known[7],
        class = known[8]
      }
      muster.tell(queue, job, "job.completed", known[4], "completed")
      muster.later_zadd(queue, muster.key(queue, "finished"), now, id)
      muster.release(queue, id, known[4])
      return "ok"
    end
  end
  if status then muster.keep_late(queue, id, attempt, "completed") end
  return "lease_lost"
end)
