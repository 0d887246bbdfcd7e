-- luacheck: globals muster
-- Whether a report comes from the attempt that holds the job. The attempt number alone is no fence: it repeats when
-- Redis loses its last writes; the nonce, made by the claimer, does not.

-- The job when this attempt holds it, else nil and the job, if there is one.
function muster.held(queue, id, attempt, nonce)
  local job = muster.find(queue, id)
  if job and muster.is_held(job) and job.attempt == attempt and job.nonce == nonce then return job end
  return nil, job
end

-- Runs a report that ends an attempt and returns the job; `act` stores it, with how it ended. Repeating it gets the
-- job again, as far as it still remembers this end; nil when the attempt does not hold it and did not end like this.
function muster.end_attempt(queue, id, attempt, nonce, ended, act)
  local job, known = muster.held(queue, id, attempt, nonce)
  if job then
    job.ended = ended
    act(job)
    return job
  end
  if known and known.ended == ended and known.attempt == attempt and known.nonce == nonce then return known end
end

-- How such a report is answered.
function muster.ended_reply(queue, job)
  if not job then return { "lease_lost" } end
  return { "job", muster.reply(queue, job) }
end
