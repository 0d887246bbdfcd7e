-- luacheck: globals muster
-- Gives the next jobs in order that match to a worker, each with a lease and the next attempt number; parks the worker
-- when there is none. A job found past its expires_at expires here. Bounded by jobs looked at, by outdated heads met
-- and by bytes answered, at least one job.
--
-- KEYS  the queue's prefix
-- ARGV  version, worker_id, capacity, limit, nonce, lease_ms, again ("1" when the answer to this claim was lost before:
--       the jobs it was given are given again), signature id, machine ("" = none), inbox
-- returns  {"jobs", more, {id, request, attempt, retry_count, error, created_at, assigned_at}…}: the rest of a job that
--          is given is known; more is "1" when a bound was reached first: ask again for what is left;
--          {"given", job…}: what this claim was given before;
--          {"unknown", id}: this signature is not known here; {"settling", signature}: it is not ready yet

-- How long a job that must not run on this worker is kept from it before it is looked at again.
local aside_ms = 1000
local repairs_per_call = 32

-- What a claim was given whose answer was lost, as far as that is found soon: the rest goes back by itself, because the
-- worker never hears of it.
local looked_at_again, given_again = 500, 150

local function given_before(queue, worker_id, nonce)
  local reply, bytes = { "given" }, 0
  for n, id in ipairs(redis.call("HKEYS", muster.held_key(queue, worker_id))) do
    if n > looked_at_again or #reply > given_again or bytes >= muster.reply_bytes then break end
    if redis.call("HGET", muster.key_of(queue, "job", id), "nonce") == nonce then
      reply[#reply + 1] = muster.reply(queue, muster.find(queue, id))
      bytes = bytes + muster.reply_size(reply[#reply])
    end
  end
  return reply
end

-- The signature that stands for the worker: that of its machine while some class names the machine.
local function signature_for(queue, id, machine)
  if machine ~= "" and redis.call("HEXISTS", muster.key(queue, "named"), "machine:" .. machine) == 1 then
    id = id .. "@" .. machine
  end
  local signature, ready = muster.signature(queue, id)
  if not signature then return nil, { "unknown", id } end
  if not ready then return nil, { "settling", signature } end
  return signature
end

-- Until when, and by whom, the job is not to be run: "<ms> <worker>".
local function is_kept_from(queue, job, worker_id)
  if not job.avoid or job.avoid == "" then return false end
  local until_ms, worker = string.match(job.avoid, "^(%d+) (.*)$")
  return worker == worker_id and tonumber(until_ms) > muster.now(queue)
end

-- The requests of jobs, by their place among them: of those that are not large, which are read one by one.
local function requests_of(queue, jobs)
  local keys, places, requests = {}, {}, {}
  for i, job in ipairs(jobs) do
    if not job.large then
      keys[#keys + 1] = muster.key_of(queue, "request", job.id)
      places[#keys] = i
    end
  end
  if not keys[1] then return requests end
  for n, request in ipairs(redis.call("MGET", unpack(keys))) do requests[places[n]] = request end
  return requests
end

-- Gives jobs of one class to the claimer and adds them to the reply, as far as the bytes of the call allow.
local function give(queue, class, jobs, claimer, reply)
  local until_ms, assigned_at = muster.integer(muster.now(queue) + claimer.lease_ms), muster.now_text(queue)
  local requests, members = requests_of(queue, jobs), {}
  for i, job in ipairs(jobs) do
    if queue.given_bytes >= muster.reply_bytes then break end
    local request = requests[i] or redis.call("GET", muster.key_of(queue, "request", job.id))
    members[i] = muster.member(job)
    muster.leave_indexes(queue, job)
    muster.hold(queue, job, claimer.worker_id, claimer.inbox, until_ms)
    job.status, job.worker_id, job.assigned_at = "assigned", claimer.worker_id, assigned_at
    job.attempt = muster.integer(tonumber(job.attempt) + 1)
    redis.call(
      "HSET", muster.key_of(queue, "job", job.id),
      "status", "assigned",
      "attempt", job.attempt,
      "worker_id", job.worker_id,
      "nonce", claimer.nonce,
      "ended", "",
      "assigned_at", assigned_at
    )
    muster.tell(queue, job, "job.assigned", job.worker_id)
    reply[#reply + 1] = {
      job.id, request, job.attempt, job.retry_count, job.error or false, job.created_at, assigned_at
    }
    queue.given_bytes = queue.given_bytes + #request
  end
  muster.leave_line(queue, class, unpack(members))
end

-- A job in the line of a class, with what a claim needs to know of it.
local function waiting(queue, id, class)
  local known = redis.call(
    "HMGET", muster.key_of(queue, "job", id),
    "born", "attempt", "retry_count", "error", "expires_at", "avoid", "customer", "workflow", "ended", "status",
    "class", "large"
  )
  if known[10] ~= "pending" or known[11] ~= class then return nil end
  return muster.read_born({
    id = id, class = class, status = "pending", born = known[1], attempt = known[2] or nil,
    retry_count = known[3] or nil, error = known[4] or nil, expires_at = known[5] or nil, avoid = known[6] or nil,
    customer = known[7] or nil, workflow = known[8] or nil, ended = known[9] or nil,
    large = known[12] or nil
  })
end

-- Those of the members of a line that the claimer may be given; what else is met is dealt with.
local function givable(queue, class, members, claimer)
  local jobs = {}
  for _, member in ipairs(members) do
    local job = waiting(queue, string.sub(member, 17), class)
    if not job or muster.member(job) ~= member then
      -- Nothing but a call that failed half way leaves a job where it does not wait.
      muster.leave_line(queue, class, member)
    elseif muster.is_expired(queue, job) then
      muster.expire(queue, job)
    elseif is_kept_from(queue, job, claimer.worker_id) then
      muster.put_aside(queue, job, muster.now(queue) + aside_ms, claimer.worker_id)
    else
      jobs[#jobs + 1] = job
    end
  end
  return jobs
end

-- Gives the claimer the next jobs, at most `free`, and adds them to the reply. Returns the classes they are of, as a
-- set, and whether nothing is left for it. The bounds are those of the whole call, which may carry many claims.
local function give_next(queue, signature, claimer, free, reply)
  local given = {}
  queue.looked, queue.given_bytes = queue.looked or 0, queue.given_bytes or 0
  queue.repairs = queue.repairs or { left = repairs_per_call }
  while #reply - 2 < free and queue.given_bytes < muster.reply_bytes and queue.looked < muster.bound do
    local want = math.min(free - (#reply - 2), muster.bound - queue.looked)
    local members, class = muster.next_members(queue, signature, want, queue.repairs)
    if not members then
      if class then reply[2] = "1" end
      return given, not class
    end
    queue.looked = queue.looked + #members
    local jobs = givable(queue, class, members, claimer)
    if jobs[1] then
      give(queue, class, jobs, claimer, reply)
      given[class] = true
    end
  end
  if #reply - 2 < free then reply[2] = "1" end
  return given, false
end

muster.register("claim", { "allow-oom" }, function(queue, args)
  local claimer = { worker_id = args[2], nonce = args[5], lease_ms = tonumber(args[6]), inbox = args[10] }
  local capacity, limit, again = tonumber(args[3]), tonumber(args[4]), args[7] == "1"
  local worker_id = claimer.worker_id
  if not (capacity and limit and claimer.lease_ms and claimer.inbox) then error({ err = "ERR bad arguments" }, 0) end

  if again then
    local given = given_before(queue, worker_id, claimer.nonce)
    if #given > 1 then return given end
  end
  local reply = { "jobs", "0" }
  local state = muster.worker_state(queue, worker_id)
  if state and state.kind == "x" then
    muster.turn_away(queue, worker_id, claimer.inbox)
    return reply
  end
  local signature, refusal = signature_for(queue, args[8], args[9])
  if not signature then return refusal end
  muster.attend(queue, worker_id, state)
  local free = math.min(limit, capacity - muster.held_count(queue, worker_id))
  local given, nothing_waits = give_next(queue, signature, claimer, free, reply)
  muster.answer_wake(queue, state, given)
  if nothing_waits and #reply == 2 then muster.park(queue, worker_id, signature, claimer.inbox) end
  return reply
end)
