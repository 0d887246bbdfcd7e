-- luacheck: globals muster
-- What the archive asks of finished jobs: none is forgotten before it has them.

-- KEYS  the queue's prefix
-- ARGV  version
-- returns  {"ok"}
muster.register("keep_for_archive", { "allow-oom" }, function(queue)
  redis.call("HSET", muster.key(queue, "meta"), "archiving", "1")
  return { "ok" }
end)

-- Bytes of payloads and results after which a page ends.
local page_bytes = 1024 * 1024

-- Finished jobs that are not archived, by when they finished.
--
-- ARGV  version, offset (of those: how many a caller has been given before), limit
-- returns  {looked, {sequence, job, attempts (see attempts.lua)}…}; looked is how many places were looked at
muster.register("unarchived", { "no-writes", "allow-oom" }, function(queue, args)
  local offset, limit = tonumber(args[2]), math.min(tonumber(args[3]), muster.bound)
  local ids = redis.call("ZRANGE", muster.key(queue, "finished"), offset, offset + limit - 1)
  local reply, bytes, looked = { "" }, 0, 0
  for _, id in ipairs(ids) do
    if bytes >= page_bytes then break end
    looked = looked + 1
    local job = muster.find(queue, id)
    if job and muster.is_finished(job) then
      local said = muster.reply(queue, job)
      bytes = bytes + muster.reply_size(said)
      reply[#reply + 1] = { job.sequence, said, muster.attempts_of(queue, job) }
    end
  end
  reply[1] = muster.integer(looked)
  return reply
end)

-- The archive has these ends of jobs: those that are still the last ones need not be kept for it any more.
--
-- ARGV  version, then id and finished_at (ms) of each
-- returns  {"ok"}
muster.register("mark_archived", { "allow-oom" }, function(queue, args)
  local first_job = 2
  for i = first_job, #args, 2 do
    if not tonumber(args[i + 1]) then error({ err = "ERR bad arguments" }, 0) end
  end
  local finished, archived = muster.key(queue, "finished"), muster.key(queue, "archived")
  for i = first_job, #args, 2 do
    local id, finished_at = args[i], args[i + 1]
    if tonumber(redis.call("ZSCORE", finished, id) or "") == tonumber(finished_at) then
      redis.call("ZADD", archived, finished_at, id)
      redis.call("ZREM", finished, id)
    end
  end
  return { "ok" }
end)

-- Takes a failed job in again that only the archive knows: it waits at once, as if it came now, and keeps its place in
-- lists. No allow-oom, as for a submit.
--
-- ARGV  version, priority_step_ms, sequence, attempt, error (JSON text, "" = none), created_at (ms), the job (see
--       muster.submission)
-- returns  {"job", job}, without the request text; {"already_exists"}; {"priority_step", noted}
muster.register("revive", {}, function(queue, args)
  local step, sequence, attempt, error_text, created_at = args[2], tonumber(args[3]), args[4], args[5], args[6]
  local first_field = 7
  if not (sequence and tonumber(attempt) and tonumber(created_at)) then error({ err = "ERR bad arguments" }, 0) end
  local submission = muster.submission(args, first_field)
  local refused = muster.refuse_other_step(queue, step)
  if refused then return refused end
  -- Without a job only its id was taken, by a call that failed half way.
  if muster.get(queue, muster.key_of(queue, "job", submission.id)) then return { "already_exists" } end
  submission.sequence, submission.created_at, submission.is_new = muster.sequence_text(sequence), created_at, false
  local job = muster.store(queue, submission, step)
  muster.change(queue, job, "attempt", attempt, "error", error_text)
  muster.tell(queue, job, "job.retried")
  return { "job", muster.reply(queue, job, true) }
end)
