-- luacheck: globals muster
-- Stores jobs in this order, all or none; those that are there with an equal request stay as they are. The caller
-- gives each id once, and bounds their number. No allow-oom, as for a single submit.
--
-- KEYS  the queue's prefix
-- ARGV  version, priority_step_ms, then the jobs (see muster.submission)
-- returns  {"stored", flags}, for each job in turn "1" when it was not there before, else "0";
--          {"already_exists", id}: the first id that is taken by another request;
--          {"priority_step", noted}: the queue was made with another step

muster.register("submit_many", {}, function(queue, args)
  local step, first_job = args[2], 3
  local refused = muster.refuse_other_step(queue, step)
  if refused then return refused end

  -- All are looked at before the first one is stored.
  local length = muster.submission_length
  local count = math.ceil((#args - first_job + 1) / length)
  local there, keys = muster.look_up_ids(queue, args, first_job, count, length)
  local submissions, known = {}, {}
  for n = 1, count do
    local at = first_job + (n - 1) * length
    if there[n] or args[at + 5] ~= "" or not tonumber(args[at + 3]) or not tonumber(args[at + 4]) then
      local submission = muster.submission(args, at)
      local state = muster.id_state(queue, submission.id, submission.request, there[n])
      if state == "taken" then return { "already_exists", submission.id } end
      -- Without a job only its id was taken, by a call that failed half way.
      known[at] = state == "known" and muster.get(queue, muster.key_of(queue, "job", submission.id)) and true
      submissions[at] = submission
    end
  end

  local flags = {}
  muster.store_many(queue, args, first_job, count, length, step, keys, there, function(_, _, at)
    if known[at] then return "0" end
    local job = muster.store(queue, submissions[at] or muster.submission(args, at), step)
    muster.tell(queue, job, "job.submitted")
    return "1"
  end, flags, "1")
  for _, flag in ipairs(flags) do
    if type(flag) == "table" then error({ err = flag[2] }, 0) end
  end
  return { "stored", table.concat(flags) }
end)
