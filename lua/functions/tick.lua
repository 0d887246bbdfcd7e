-- luacheck: globals muster
-- Ends lost leases, expires waiting jobs, promotes due ones and forgets those finished long ago, at most muster.bound
-- in all; passes wakes on that nobody followed, and forgets classes and signatures that nobody uses.
-- A last pass more than two periods and half a lease ago, or as far in the future, means an outage or a clock that was
-- set: no lease ends until one full lease from now. Who was slow for less has left every worker the time to renew.
--
-- KEYS  the queue's prefix
-- ARGV  version, lease_ms, retention_ms, tick_ms (how often this is called), standby ("1": does nothing when somebody
--       has looked within half a period, which keeps a fleet of workers from looking thousands of times a second)
-- returns  {more, forgotten, {promoted}, {expired}, {lost}, {settling…}, log_bytes}; more is "1" when the bound was
--          reached; settling are some classes and signatures, as "c<class>" and "s<signature>", that wait to be
--          settled; log_bytes are those of the event log when somebody looked last

local function due(queue, name, time)
  return redis.call(
    "ZRANGE", muster.key(queue, name), "-inf", muster.integer(time), "BYSCORE", "LIMIT", 0, muster.bound
  )
end

-- The bytes of the log when somebody has looked lately, else nil.
local function looked_lately(queue, tick_ms)
  local noted = redis.call("HMGET", muster.key(queue, "meta"), "last_tick", "log_bytes")
  local ago = muster.now(queue) - tonumber(noted[1] or "0")
  return ago >= 0 and ago < tick_ms / 2 and (noted[2] or "0") or nil
end

-- Notes this pass; returns the time before which no lease ends, the bytes of the log, and whether there is an archive.
local function note_pass(queue, lease_ms, tick_ms)
  local now, meta, log_bytes = muster.now(queue), muster.key(queue, "meta"), muster.integer(muster.log_bytes(queue))
  local noted = redis.call("HMGET", meta, "last_tick", "reap_from", "archiving")
  local last_tick, reap_from = tonumber(noted[1] or 0), tonumber(noted[2] or 0)
  local gap = last_tick > 0 and math.abs(now - last_tick) > math.max(2 * tick_ms, lease_ms / 2)
  -- A clock that was set back must not leave a floor in its former future.
  reap_from = gap and now + lease_ms or math.min(reap_from, now + lease_ms)
  redis.call(
    "HSET", meta, "last_tick", muster.integer(now), "reap_from", muster.integer(reap_from), "log_bytes", log_bytes
  )
  return reap_from, log_bytes, noted[3] == "1"
end

local wakes_per_tick, gone_per_tick, settling_per_tick = 10, 10, 4

local function lose(queue, job)
  local retry = tonumber(job.retry_count) < tonumber(job.max_retries) and 0 or nil
  muster.tell_fenced(queue, job)
  if job.timeout and muster.now(queue) >= tonumber(job.assigned_at) + tonumber(job.timeout) then
    local error = '{"kind":"Timeout","message":"ran longer than ' .. job.timeout .. ' ms"}'
    return muster.fail_attempt(queue, job, "timed_out", error, retry, 1, {})
  end
  local error = '{"kind":"Lost","message":"worker ' .. job.worker_id .. ' stopped renewing its lease"}'
  muster.fail_attempt(queue, job, "lost", error, retry, 1, {})
end

muster.register("tick", { "allow-oom" }, function(queue, args)
  local lease_ms, retention_ms, tick_ms = tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
  if not (lease_ms and retention_ms and tick_ms) then error({ err = "ERR bad arguments" }, 0) end
  local known_bytes = args[5] == "1" and looked_lately(queue, tick_ms)
  if known_bytes then return { "0", "0", {}, {}, {}, {}, known_bytes } end
  local now = muster.now(queue)
  local reap_from, log_bytes, archiving = note_pass(queue, lease_ms, tick_ms)

  -- Looked up before anything changes, so that no job changes twice in one pass.
  local leases = now >= reap_from and due(queue, "leases", now) or {}
  local expiring = due(queue, "expiring", now)
  local scheduled = due(queue, "scheduled", now)
  local archived = due(queue, "archived", now - retention_ms)
  local finished = archiving and {} or due(queue, "finished", now - retention_ms)

  local left = muster.bound
  -- Runs `act` on the jobs found in an index until the bound is reached. One that `belongs` says has no place there is
  -- taken out of it: nothing but a call that failed half way puts it there.
  local function each(ids, index, belongs, act)
    local done = {}
    for _, id in ipairs(ids) do
      if left == 0 then break end
      local job = muster.find(queue, id)
      if job and belongs(job) then
        act(job)
        left = left - 1
        done[#done + 1] = id
      else
        redis.call("ZREM", muster.key(queue, index), id)
      end
    end
    return done
  end

  local lost = each(leases, "leases", muster.is_held, function(job)
    lose(queue, job)
  end)
  local expired = each(expiring, "expiring", muster.is_waiting, function(job)
    muster.expire(queue, job)
  end)
  local function is_scheduled(job)
    return job.status == "scheduled"
  end
  local promoted = each(scheduled, "scheduled", is_scheduled, function(job)
    muster.promote(queue, job)
  end)
  local function forget(job)
    muster.forget(queue, job)
  end
  local forgotten = #each(archived, "archived", muster.is_finished, forget)
    + #each(finished, "finished", muster.is_finished, forget)
  muster.reissue_wakes(queue, wakes_per_tick)
  local more = muster.tidy(queue) or left == 0
  muster.forget_gone(queue, gone_per_tick)
  muster.forget_silent(queue)
  local settling = redis.call("SRANDMEMBER", muster.key(queue, "settling"), settling_per_tick)
  return { more and "1" or "0", muster.integer(forgotten), promoted, expired, lost, settling, log_bytes }
end)
