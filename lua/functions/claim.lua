-- luacheck: globals muster
-- Gives the next jobs in order that match to a worker, each with a lease and the next attempt number; parks the worker
-- when there is none. A job found past its expires_at expires here. Bounded by jobs looked at, by outdated heads met
-- and by bytes answered, at least one job.
--
-- KEYS  the queue's prefix
-- ARGV  version, worker_id, capacity, limit, nonce, lease_ms, again ("1" when the answer to this claim was lost before:
--       the jobs it was given are given again), signature id, machine ("" = none), inbox, token (stands for this claim
--       among those that the inbox's process makes for the worker; "" when it does not stand)
-- returns  {"jobs", more, id, text, request, id, text, request…}: of each job that is given, text being what is stored
--          of it (see job.lua); more is "1" when a bound was reached first: ask again for what is left;
--          {"given", job…}: what this claim was given before;
--          {"unknown", id}: this signature is not known here; {"settling", signature}: it is not ready yet
--
-- `claim_woken` goes on with a claim that has parked the worker, once it is woken: {"parked"} while it is not, {"over"}
-- when the worker has done anything else since. Its process sends it behind the command that waits for the wake, so
-- that it runs as soon as that one ends.

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
    local job = muster.find(queue, id)
    if job and job.nonce == nonce then
      reply[#reply + 1] = muster.reply(queue, job)
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

-- Whether a job of which more than the usual is known may be given to the claimer; deals with it when not.
local function is_givable(queue, job, claimer)
  if muster.is_expired(queue, job) then
    muster.expire(queue, job)
  elseif is_kept_from(queue, job, claimer.worker_id) then
    muster.put_aside(queue, job, muster.now(queue) + aside_ms, claimer.worker_id)
  else
    return true
  end
  return false
end

-- Gives a job that has run before, or of which more than the usual is known; its text then, or nil.
local function give_other(queue, class, member, text, claimer)
  local job = text and muster.parse(string.sub(member, 17), text)
  if not job or job.status ~= "pending" or job.class ~= class or muster.member(job) ~= member then
    -- Nothing but a call that failed half way leaves a job where it does not wait.
    muster.leave_line(queue, class, member)
  elseif is_givable(queue, job, claimer) then
    muster.leave_indexes(queue, job)
    muster.change(
      queue, job,
      "status", "assigned",
      "attempt", muster.integer(tonumber(job.attempt) + 1),
      "worker_id", claimer.worker_id,
      "nonce", claimer.nonce,
      "ended", "",
      "assigned_at", muster.now_text(queue)
    )
    muster.tell(queue, job, "job.assigned", claimer.worker_id)
    return muster.get(queue, muster.key_of(queue, "job", job.id))
  end
end

-- Reads the jobs of a view, and their requests.
local function read_jobs(queue, view)
  local sub, jobs, requests, keys = string.sub, queue.prefix .. ":job:", queue.prefix .. ":request:", {}
  local members, ids = view.members, {}
  local count = #members
  for i, member in ipairs(members) do
    local id = sub(member, 17)
    ids[i], keys[i], keys[count + i] = id, jobs .. id, requests .. id
  end
  view.ids, view.keys, view.texts = ids, keys, redis.call("MGET", unpack(keys))
end

-- Gives the next `count` jobs of a view to the claimer, as far as it may be given them and the bytes of the call allow,
-- and adds them to the reply; what else is met is dealt with. Returns how many were given.
local function give(queue, class, view, count, claimer, reply)
  if not view.texts then read_jobs(queue, view) end
  local sub, find, sets = string.sub, string.find, muster.sets(queue)
  local members, ids, keys, texts, requests = view.members, view.ids, view.keys, view.texts, #view.members
  local given, taken, size, replied, looked = {}, {}, 0, #reply, 0
  -- What is usual in the text of a job before it is given, and after; all jobs of a class have one job type.
  local service = texts[view.at + 1] and string.match(texts[view.at + 1], "^p %S*   (%S+)") or ""
  local fresh = "p 0   " .. service .. "   " .. class .. "    0  "
  local sequence_at = #fresh + 1
  local assigned = "a 1 " .. claimer.nonce .. " " .. claimer.worker_id .. " " .. service .. "   " .. class
    .. "   " .. muster.now_text(queue) .. " 0  "
  local events, event = muster.events(queue), " " .. service .. "   " .. class .. " 1 " .. claimer.worker_id .. " "
  for i = view.at + 1, view.at + count do
    if queue.given_bytes >= muster.reply_bytes then break end
    looked = looked + 1
    local id, member = ids[i], members[i]
    local text = sets[keys[i]] or texts[i]
    if text and sub(text, 1, sequence_at - 1) == fresh and not find(text, "\n", 1, true)
      and sub(text, sequence_at, sequence_at + 15) == sub(member, 1, 16) then
      text = assigned .. sub(text, sequence_at)
      sets[keys[i]] = text
      events[#events + 1] = "aa- " .. id .. event
    else
      text = give_other(queue, class, member, text, claimer)
    end
    if text then
      local request = texts[requests + i] or ""
      if request == "" then request = muster.get(queue, muster.key_of(queue, "large", id)) or "" end
      size = size + 1
      given[size], taken[size] = id, member
      reply[replied + 1], reply[replied + 2], reply[replied + 3] = id, text, request
      replied = replied + 3
      queue.given_bytes = queue.given_bytes + #request
    end
  end
  muster.take(queue, class, view, taken, looked)
  if size > 0 then
    muster.hold(queue, given, claimer.worker_id, claimer.inbox, muster.integer(muster.now(queue) + claimer.lease_ms))
  end
  queue.looked = queue.looked + looked
  return size
end

-- Gives the claimer the next jobs, at most `free`, and adds them to the reply. Returns the classes they are of, as a
-- set, and whether nothing was found. The bounds are those of the whole call, which may carry many claims.
local function give_next(queue, signature, claimer, free, reply)
  local given = {}
  queue.looked, queue.given_bytes = queue.looked or 0, queue.given_bytes or 0
  queue.repairs = queue.repairs or { left = repairs_per_call }
  local count = 0
  while count < free and queue.given_bytes < muster.reply_bytes and queue.looked < muster.cheap_bound do
    local want = math.min(free - count, muster.cheap_bound - queue.looked)
    local class, view, found = muster.next_jobs(queue, signature, want, queue.repairs)
    if not class then
      if view then reply[2] = "1" end
      return given, count == 0 and not view
    end
    local more = give(queue, class, view, found, claimer, reply)
    if more > 0 then given[class] = true end
    count = count + more
  end
  if count < free then reply[2] = "1" end
  return given, false
end

local function claim(queue, args, state)
  local claimer = { worker_id = args[2], nonce = args[5], lease_ms = tonumber(args[6]), inbox = args[10] }
  local capacity, limit, again, token = tonumber(args[3]), tonumber(args[4]), args[7] == "1", args[11] or ""
  local worker_id = claimer.worker_id
  if not (capacity and limit and claimer.lease_ms and claimer.inbox) then error({ err = "ERR bad arguments" }, 0) end

  if again then
    local given = given_before(queue, worker_id, claimer.nonce)
    if #given > 1 then return given end
  end
  if string.find(claimer.nonce .. token, "%s") then error({ err = "ERR bad arguments" }, 0) end
  local reply = { "jobs", "0" }
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
  if nothing_waits then muster.park(queue, worker_id, signature, claimer.inbox, token) end
  return reply
end

muster.register("claim", { "allow-oom" }, function(queue, args)
  return claim(queue, args, muster.worker_state(queue, args[2]))
end)

muster.register("claim_woken", { "allow-oom" }, function(queue, args)
  local inbox, token = args[10], args[11]
  local state = muster.worker_state(queue, args[2])
  local stands = state and token and token ~= "" and state.token == token and state.inbox == inbox
  if not stands then return { "over" } end
  if state.kind ~= "w" then return { "parked" } end
  return claim(queue, args, state)
end)
