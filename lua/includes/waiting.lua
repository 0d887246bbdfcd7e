-- luacheck: globals muster
-- The waiting lines, and which job comes next. This slice has one line per job type, and a claim looks at the heads
-- of the worker's job types.

-- A job's place in its line: the line is ordered by rank, then by member, so the sequence comes first and has a
-- fixed width.
function muster.member(job)
  return string.format("%016.0f", tonumber(job.sequence)) .. job.id
end

local function line_of(queue, job)
  return muster.key_of(queue, "waiting", job.service_required)
end

-- Lets a job wait: to be claimed, or until `due` (ms) when that is given. The one way in for submits, promotions,
-- retries, returns and lost leases; the caller stores the status.
function muster.insert(queue, job, due)
  if due then
    redis.call("ZADD", muster.key(queue, "scheduled"), muster.integer(due), job.id)
  else
    redis.call("ZADD", line_of(queue, job), job.rank, muster.member(job))
  end
  if job.expires_at then redis.call("ZADD", muster.key(queue, "expiring"), job.expires_at, job.id) end
end

-- Takes a job out of where it waits. The caller stores the status.
function muster.withdraw(queue, job)
  if job.status == "scheduled" then
    redis.call("ZREM", muster.key(queue, "scheduled"), job.id)
  else
    redis.call("ZREM", line_of(queue, job), muster.member(job))
  end
  if job.expires_at then redis.call("ZREM", muster.key(queue, "expiring"), job.id) end
end

-- The heads of the lines of these job types: `args` from `first` on.
function muster.heads(queue, args, first)
  local heads, seen = {}, {}
  for i = first, #args do
    if not seen[args[i]] then
      seen[args[i]] = true
      local head = { line = muster.key_of(queue, "waiting", args[i]) }
      muster.refresh(head)
      if head.member then heads[#heads + 1] = head end
    end
  end
  return heads
end

-- The job that comes next, with the head it was found at; nil when nothing waits. The head must be refreshed once the
-- job was taken.
function muster.next_of(queue, heads)
  local best
  for _, head in ipairs(heads) do
    if head.member and (not best or head.rank < best.rank
      or (head.rank == best.rank and head.member < best.member)) then
      best = head
    end
  end
  if not best then return nil end
  local job = muster.find(queue, string.sub(best.member, 17))
  -- A line must not be blocked by a job whose hash is gone.
  if not job then redis.call("ZREM", best.line, best.member) end
  return best, job
end

function muster.refresh(head)
  local first = redis.call("ZRANGE", head.line, 0, 0, "WITHSCORES")
  head.member, head.rank = first[1], tonumber(first[2])
end
