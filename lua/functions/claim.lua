-- luacheck: globals muster
-- Gives the next jobs in order to a worker, each with a lease and the next attempt number. A job found past its
-- expires_at expires here. Bounded by jobs looked at and by bytes answered, at least one job.
--
-- KEYS  the queue's prefix
-- ARGV  version, worker_id, capacity, limit, nonce, lease_ms, again ("1" when the answer to this claim was lost before:
--       the jobs it was given are given again), then the job types the worker can run
-- returns  {"jobs", more, job…}; more is "1" when only expired jobs were met up to the bound: ask again

-- What a claim was given whose answer was lost. A worker holds few jobs, and asks this only then.
local function given_before(queue, worker_id, nonce)
  local reply, bytes = { "jobs", "0" }, 0
  for _, id in ipairs(redis.call("SMEMBERS", muster.held_key(queue, worker_id))) do
    local job = muster.find(queue, id)
    if job and job.nonce == nonce and bytes < muster.reply_bytes then
      reply[#reply + 1] = muster.reply(queue, job)
      bytes = bytes + muster.reply_size(reply[#reply])
    end
  end
  return reply
end

muster.register("claim", { "allow-oom" }, function(queue, args)
  local worker_id, capacity, limit = args[2], tonumber(args[3]), tonumber(args[4])
  local nonce, lease_ms = args[5], tonumber(args[6])
  local again, first_job_type = args[7] == "1", 8

  if again then
    local given = given_before(queue, worker_id, nonce)
    if #given > 2 then return given end
  end
  local free = math.min(limit, capacity - redis.call("SCARD", muster.held_key(queue, worker_id)))
  local reply, claimed, bytes, looked = { "jobs", "0" }, 0, 0, 0
  if free <= 0 then return reply end
  local now = muster.integer(muster.now(queue))
  local heads = muster.heads(queue, args, first_job_type)
  local taken
  while claimed < free and bytes < muster.reply_bytes do
    if taken then muster.refresh(taken) end
    local head, job = muster.next_of(queue, heads)
    if not head then return reply end
    if looked == muster.bound then
      if claimed == 0 then reply[2] = "1" end
      return reply
    end
    looked = looked + 1
    taken = head
    if job and muster.is_expired(queue, job) then
      muster.expire(queue, job)
    elseif job then
      muster.withdraw(queue, job)
      muster.hold(queue, job, worker_id, lease_ms)
      muster.change(
        queue, job,
        "status", "assigned",
        "attempt", muster.integer(tonumber(job.attempt) + 1),
        "worker_id", worker_id,
        "nonce", nonce,
        "ended", "",
        "assigned_at", now
      )
      claimed = claimed + 1
      reply[#reply + 1] = muster.reply(queue, job)
      bytes = bytes + muster.reply_size(reply[#reply])
    end
  end
  return reply
end)
