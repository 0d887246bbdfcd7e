-- luacheck: globals muster
-- Ends a job as completed.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce, result (JSON text, kept as it is)
-- returns  {"ok"} or {"lease_lost"}

-- Results of so many bytes need no key of their own.
local small = 60

local function finish(queue, id, key, worker_id, error, result)
  local changes = { "status", "completed", "finished_at", muster.now_text(queue), "ended", "completed" }
  if error and error ~= "" then changes[7], changes[8] = "error", "" end
  if #result <= small then
    changes[#changes + 1] = "result"
    changes[#changes + 1] = result
  else
    redis.call("SET", muster.key_of(queue, "result", id), result)
  end
  redis.call("HSET", key, unpack(changes))
  muster.later_zadd(queue, muster.key(queue, "finished"), muster.now_text(queue), id)
  muster.release(queue, id, worker_id)
end

-- Of all reports this one comes most often, and reads no more of the job than it needs.
muster.register("complete", { "allow-oom" }, function(queue, args)
  local id, attempt, nonce, result = args[2], args[3], args[4], args[5]
  if not result then error({ err = "ERR bad arguments" }, 0) end
  local key = muster.key_of(queue, "job", id)
  local known = redis.call("HMGET", key, "status", "attempt", "nonce", "worker_id", "error", "ended")
  local status = known[1]
  if known[2] == attempt and known[3] == nonce then
    if status == "assigned" or status == "processing" then
      finish(queue, id, key, known[4], known[5], result)
      return { "ok" }
    elseif known[6] == "completed" then
      return { "ok" }
    end
  end
  if status then muster.keep_late(queue, id, attempt, "completed") end
  return { "lease_lost" }
end)
