-- luacheck: globals muster
-- Stores a job, or finds the one with this id and an equal request. No allow-oom: submits alone must fail when memory
-- is short.
--
-- KEYS  the queue's prefix
-- ARGV  version, priority_step_ms, the job (see muster.submission)
-- returns  "<status> <created_at>": it is new, there is no more to know of it;
--          {"known", job}, without the request text, which the caller has;
--          {"already_exists"}: the id is taken by another request;
--          {"priority_step", noted}: the queue was made with another step

local function submit(queue, args, first, there)
  local step, submission = args[first - 1], muster.submission(args, first)
  local refused = muster.refuse_other_step(queue, step)
  if refused then return refused end
  local state = muster.id_state(queue, submission.id, submission.request, there)
  if state == "taken" then return { "already_exists" } end
  -- Without a job only its id was taken, by a call that failed half way.
  local known = state == "known" and muster.find(queue, submission.id)
  if known then return { "known", muster.reply(queue, known, true) } end
  local job = muster.store(queue, submission, step)
  muster.tell(queue, job, "job.submitted")
  return job.status .. " " .. job.created_at
end

muster.register_often("submit", {}, function(queue, args, first, calls, length, replies)
  local there, keys = muster.look_up_ids(queue, args, first + 1, calls, length)
  local stored = "pending " .. muster.now_text(queue)
  muster.store_many(queue, args, first + 1, calls, length, args[first], keys, there, submit, replies, stored)
end)
