-- luacheck: globals muster
-- Stores jobs in this order, all or none; those that are there with an equal request stay as they are. The caller
-- gives each id once, and bounds their number. No allow-oom, as for a single submit.
--
-- KEYS  the queue's prefix
-- ARGV  version, priority_step_ms, then the jobs (see muster.submission)
-- returns  {"stored", flag…}, for each job in turn "1" when it was not there before, else "0";
--          {"already_exists", id}: the first id that is taken by another request;
--          {"priority_step", noted}: the queue was made with another step

muster.register("submit_many", {}, function(queue, args)
  local step, first_job = args[2], 3
  local refused = muster.refuse_other_step(queue, step)
  if refused then return refused end

  -- All are looked at before the first one is stored.
  muster.look_up_ids(
    queue, args, first_job, math.ceil((#args - first_job + 1) / muster.submission_length), muster.submission_length
  )
  local submissions, states = {}, {}
  for i = first_job, #args, muster.submission_length do
    local submission = muster.submission(args, i)
    local state = muster.id_state(queue, submission.id, submission.request)
    if state == "taken" then return { "already_exists", submission.id } end
    -- Without a job only its id was taken, by a call that failed half way.
    local job = muster.key_of(queue, "job", submission.id)
    if state == "known" and redis.call("EXISTS", job) == 0 then state = "free" end
    submissions[#submissions + 1], states[#states + 1] = submission, state
  end

  local reply = { "stored" }
  for n, submission in ipairs(submissions) do
    local free = states[n] == "free"
    if free then
      local job = muster.store(queue, submission, step)
      muster.tell(queue, job, "job.submitted")
    end
    reply[#reply + 1] = free and "1" or "0"
  end
  return reply
end)
