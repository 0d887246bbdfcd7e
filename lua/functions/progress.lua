-- luacheck: globals muster
-- Notes how far an attempt is.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce, progress (JSON text, kept as it is), unsaid ("1": it is no event, because the log
--       is too long)
-- returns  "ok" or "lease_lost"

local function note(queue, id, attempt, nonce, progress, unsaid)
  if not progress then error({ err = "ERR bad arguments" }, 0) end
  local job = muster.held(queue, id, attempt, nonce)
  if not job then return "lease_lost" end
  muster.change(queue, job, "progress", progress)
  if unsaid ~= "1" then muster.tell(queue, job, "job.progress", job.worker_id, nil, progress) end
  return "ok"
end

muster.register_often("progress", { "allow-oom" }, function(queue, args, first, calls, length, replies)
  for _ = 1, calls do
    replies[#replies + 1] = muster.try(note, queue, unpack(args, first, first + length - 1))
    first = first + length
  end
end)
