-- luacheck: globals muster
-- Whether a report comes from the attempt that holds the job. The attempt number alone is no fence: it repeats when
-- Redis loses its last writes; the nonce, made by the claimer, does not.

-- The job when this attempt holds it, else nil and the job, if there is one.
function muster.held(queue, id, attempt, nonce)
  local job = muster.find(queue, id)
  if job and muster.is_held(job) and job.attempt == attempt and job.nonce == nonce then return job end
  return nil, job
end

-- Reads at once the jobs that `count` calls are about, the first one at `first`, one in each `length` arguments.
-- Returns their keys and what is known of each.
function muster.look_up_jobs(queue, args, first, count, length)
  local prefix, keys = queue.prefix .. ":job:", {}
  for i = 1, count do keys[i] = prefix .. args[first + (i - 1) * length] end
  return keys, muster.get_many(queue, keys)
end

-- Which report ends an attempt like this.
local function report_of(ended)
  return ended == "timed_out" and "failed" or ended
end

-- Runs a report that ends an attempt; `act` stores it, with how it ended. Repeating it gets the same answer, as far as
-- the job still remembers this end. One of an attempt that does not hold the job is kept as evidence: `report` is what
-- it says, `error` what a failed one says.
function muster.end_attempt(queue, args, report, act, error)
  local id, attempt, nonce = args[2], args[3], args[4]
  local job, known = muster.held(queue, id, attempt, nonce)
  if job then
    act(job)
    return "ok"
  end
  if known then
    if report_of(known.ended) == report and known.attempt == attempt and known.nonce == nonce then return "ok" end
    muster.keep_late(queue, id, attempt, report, error)
  end
  return "lease_lost"
end
