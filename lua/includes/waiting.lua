-- luacheck: globals muster
-- How jobs come to wait, and how they stop.

local function each_name(queue, job, act)
  if job.customer and job.customer ~= "" then act(muster.key_of(queue, "by:customer", job.customer)) end
  if job.workflow and job.workflow ~= "" then act(muster.key_of(queue, "by:workflow", job.workflow)) end
end

-- Lets a job wait: to be claimed, or until `due` (ms) when that is given. The one way in for submits, promotions,
-- retries, returns, lost leases and refiling; the caller stores the status, and `job.class` with it.
function muster.insert(queue, job, due)
  if due then
    redis.call("ZADD", muster.key(queue, "scheduled"), muster.integer(due), job.id)
    -- Events name the class it was filed in last.
    job.filed, job.class = job.class, ""
  else
    local class = muster.class_of(queue, job)
    job.class, job.filed = class, nil
    local partly_told = muster.line_up(queue, class, job)
    each_name(queue, job, function(index)
      redis.call("ZADD", index, job.sequence, job.id)
    end)
    if not partly_told then muster.wake(queue, class) end
  end
  if job.expires_at then redis.call("ZADD", muster.key(queue, "expiring"), job.expires_at, job.id) end
end

local function leave_names(queue, job)
  each_name(queue, job, function(index)
    redis.call("ZREM", index, job.id)
  end)
end

-- Takes a job that leaves its line out of what else knows of it there.
function muster.leave_indexes(queue, job)
  leave_names(queue, job)
  if job.expires_at then redis.call("ZREM", muster.key(queue, "expiring"), job.id) end
end

-- Takes a job out of where it has waited with this status, for good.
function muster.withdraw(queue, job, status)
  if status == "scheduled" then
    redis.call("ZREM", muster.key(queue, "scheduled"), job.id)
    if job.expires_at then redis.call("ZREM", muster.key(queue, "expiring"), job.id) end
  else
    muster.leave_line(queue, job.class, muster.member(job))
    muster.leave_indexes(queue, job)
  end
end

-- A job waits again in another way: it comes to its new place before it leaves the old one, so that a call that fails
-- half way loses none. A job is only ever given out of the line of the class it says.

-- Lets a scheduled job wait to be claimed.
function muster.promote(queue, job)
  muster.insert(queue, job)
  muster.change(queue, job, "status", "pending", "class", job.class)
  muster.tell(queue, job, "job.promoted")
  redis.call("ZREM", muster.key(queue, "scheduled"), job.id)
end

-- Lets a pending job wait until `due` (ms), because this worker must not be given it now.
function muster.put_aside(queue, job, due, worker_id)
  local class = job.class
  muster.insert(queue, job, due)
  muster.change(queue, job, "status", "scheduled", "class", "")
  muster.tell(queue, job, "job.deferred", worker_id)
  muster.leave_line(queue, class, muster.member(job))
  leave_names(queue, job)
end

-- Files waiting jobs anew whose customer or workflow is named by now; `after` is a sequence. Returns the sequence to
-- go on after, nil when all are done.
function muster.refile(queue, name, after)
  local found = redis.call(
    "ZRANGE", muster.key_of(queue, "by", name), "(" .. after, "+inf", "BYSCORE", "LIMIT", 0, muster.bound, "WITHSCORES"
  )
  for i = 1, #found, 2 do
    local job = muster.find(queue, found[i])
    if not job or job.status ~= "pending" then
      redis.call("ZREM", muster.key_of(queue, "by", name), found[i])
    elseif muster.class_of(queue, job) ~= job.class then
      local class = job.class
      muster.insert(queue, job)
      muster.change(queue, job, "class", job.class)
      muster.leave_line(queue, class, muster.member(job))
    end
  end
  return #found == 2 * muster.bound and found[#found] or nil
end
