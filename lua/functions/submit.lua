-- luacheck: globals muster
-- Stores a job, or finds the one with this id and an equal request. No allow-oom: submits alone must fail when memory
-- is short.
--
-- KEYS  the queue's prefix
-- ARGV  version, priority_step_ms, the job (see muster.submission)
-- returns  {"created", status, created_at}: there is no more to know of a new job;
--          {"known", job}, without the request text, which the caller has;
--          {"already_exists"}: the id is taken by another request;
--          {"priority_step", noted}: the queue was made with another step

muster.register("submit", {}, function(queue, args)
  local step, submission = args[2], muster.submission(args, 3)
  local refused = muster.refuse_other_step(queue, step)
  if refused then return refused end
  local state = muster.id_state(queue, submission.id, submission.request, true)
  if state == "taken" then return { "already_exists" } end
  -- Without a job only its id was taken, by a call that failed half way.
  local known = state == "known" and muster.find(queue, submission.id)
  if known then return { "known", muster.reply(queue, known, true) } end
  local job = muster.store(queue, submission, step)
  return { "created", job.status, job.created_at }
end)
