-- luacheck: globals muster
-- Idle workers: those whose last claim found nothing are parked, and each job that comes wakes one of them that can
-- run it. What is known of a worker is one string in `workers`:
--   p <inbox> <signature> <token>   parked; among the idle it stands as "<worker> <inbox> <token>"
--   w <inbox> <class> <token>       woken for a job of this class; it has not claimed since
--   x <inbox>                       not open: it is given nothing (why stands in `standing`)
-- Workers, inboxes and tokens are names without spaces. A token stands for the claim that parked the worker; without
-- one, it and the space before it are left out.

-- A worker that was not heard from for so long is not woken: idle ones claim every 5 s.
local silent_ms = 20000
-- A wake that no claim follows for so long goes to another worker.
local unheard_ms = 1000
-- Unregistered workers are turned away for this long.
local gone_ms = 24 * 3600000
-- Messages for a process that does not read them are dropped after this.
local inbox_ms = 60000

local function parse(state)
  if not state then return nil end
  local kind, inbox, about, token = string.match(state, "^(%a) (%S*) ?(%S*) ?(%S*)$")
  return { kind = kind, inbox = inbox, about = about, token = token }
end

-- With the token of a claim behind it, if it has one.
local function with(text, token)
  return token == "" and text or text .. " " .. token
end

-- What is known of a worker, or nil.
function muster.worker_state(queue, worker_id)
  return parse(redis.call("HGET", muster.key(queue, "workers"), worker_id))
end

local function tell(queue, inbox, message)
  if inbox == "" then return end
  local key = muster.key_of(queue, "inbox", inbox)
  redis.call("RPUSH", key, message)
  redis.call("PEXPIRE", key, inbox_ms)
end

-- Tells the process that holds a job that its attempt does not count any more.
function muster.tell_fenced(queue, job)
  local inbox = redis.call("HGET", muster.held_key(queue, job.worker_id), job.id)
  if inbox then
    tell(queue, inbox, "fenced " .. job.worker_id .. " " .. job.attempt .. " " .. job.nonce .. " " .. job.id)
  end
end

-- Workers that one call forgets.
local forgotten_at_once = 100

-- Forgets workers, given as they stand among the idle ones.
local function forget_idle(queue, parked)
  local workers = {}
  for i, worker in ipairs(parked) do workers[i] = string.match(worker, "^%S+") end
  if workers[1] then redis.call("HDEL", muster.key(queue, "workers"), unpack(workers)) end
end

local function unlist(queue, signature)
  if redis.call("EXISTS", muster.key_of(queue, "idle", signature)) == 0 then
    redis.call("ZREM", muster.key(queue, "idle_signatures"), signature)
  end
end

-- The worker of a signature that was parked last, taken out of the idle ones: its id, inbox and token; nil when there
-- is none that was heard from lately.
local function take_idle(queue, signature, now)
  local idle = muster.key_of(queue, "idle", signature)
  local last = redis.call("ZPOPMAX", idle)
  local heard = last[1] and tonumber(last[2]) > now - silent_ms
  if last[1] and not heard then
    -- All the others are silent for longer. As many as that are forgotten; the rest is met by the next wake.
    local silent = redis.call("ZRANGE", idle, 0, forgotten_at_once - 1)
    if silent[1] then redis.call("ZREM", idle, unpack(silent)) end
    silent[#silent + 1] = last[1]
    forget_idle(queue, silent)
  end
  -- Whose last worker goes stays in the list until somebody looks for one: mostly it is idle again before.
  if heard then return string.match(last[1], "^(%S+) (%S*) ?(%S*)$") end
  unlist(queue, signature)
end

-- Wakes the worker of a signature that was parked last, for a job of a class; false when it has none to wake.
local function wake_one_of(queue, signature, class)
  queue.nobody_idle = nil
  local worker_id, inbox, token = take_idle(queue, signature, muster.now(queue))
  if not worker_id then return false end
  redis.call("HSET", muster.key(queue, "workers"), worker_id, with("w " .. inbox .. " " .. class, token))
  redis.call("ZADD", muster.key(queue, "wakes"), muster.now_text(queue), worker_id)
  tell(queue, inbox, "wake " .. worker_id)
  return true
end

-- Idle signatures that are tried before all of them are compared with those that match: mostly one of them does.
local tried_first = 8

-- Wakes one parked worker that can run jobs of the class; of the signature that is idle for the shortest time: it is
-- most likely to live, and to be warm.
function muster.wake(queue, class)
  local idle_signatures = muster.key(queue, "idle_signatures")
  if queue.nobody_idle then return end
  local match = muster.key_of(queue, "match", muster.class_facts(queue, class).audience)
  local latest = redis.call("ZREVRANGE", idle_signatures, 0, tried_first - 1)
  queue.nobody_idle = not latest[1]
  local others = #latest == tried_first
  for i, held in ipairs(latest[1] and redis.call("ZMSCORE", match, unpack(latest)) or {}) do
    -- One without a head has not been told of the job.
    if held == "inf" then
      others = true
    elseif held and wake_one_of(queue, latest[i], class) then
      return
    end
  end
  if not others then return end
  -- What holds no head comes first, so it is asked last.
  local signatures = redis.call("ZINTER", 2, idle_signatures, match, "WEIGHTS", 1, 0)
  for i = #signatures, 1, -1 do
    if wake_one_of(queue, signatures[i], class) then return end
  end
end

-- Wakes workers for a class whose waiting jobs some of them have just been found to match.
function muster.wake_many(queue, class)
  local waiting = redis.call("ZCARD", muster.look_at(queue, class))
  for _ = 1, math.min(waiting, muster.bound) do muster.wake(queue, class) end
end

function muster.park(queue, worker_id, signature, inbox, token)
  local now, idle = muster.now_text(queue), muster.key_of(queue, "idle", signature)
  redis.call("ZADD", idle, now, with(worker_id .. " " .. inbox, token))
  if redis.call("ZCARD", idle) == 1 then redis.call("ZADD", muster.key(queue, "idle_signatures"), now, signature) end
  redis.call("HSET", muster.key(queue, "workers"), worker_id, with("p " .. inbox .. " " .. signature, token))
  queue.nobody_idle = nil
end

-- Wakes that no claim has followed within a second, at most so many, go to others that can run a job of that class.
function muster.reissue_wakes(queue, limit)
  local wakes = muster.key(queue, "wakes")
  local late = muster.integer(muster.now(queue) - unheard_ms)
  for _, worker_id in ipairs(redis.call("ZRANGE", wakes, "-inf", late, "BYSCORE", "LIMIT", 0, limit)) do
    redis.call("ZREM", wakes, worker_id)
    muster.leave_idle(queue, worker_id)
  end
end

-- Wakes a worker for a class that was to be looked after by another one.
local function pass_on(queue, class)
  if redis.call("EXISTS", muster.look_at(queue, class)) == 1 then muster.wake(queue, class) end
end

-- A woken worker has claimed, and was given jobs of these classes, a set: when the one it was woken for is not among
-- them, its wake goes to another.
function muster.answer_wake(queue, state, given)
  if state and state.kind == "w" and not given[state.about] then pass_on(queue, state.about) end
end

-- Ends what is known of a worker that claims.
function muster.attend(queue, worker_id, state)
  if not state then return end
  if state.kind == "p" then
    redis.call("ZREM", muster.key_of(queue, "idle", state.about), with(worker_id .. " " .. state.inbox, state.token))
    unlist(queue, state.about)
  elseif state.kind == "w" then
    redis.call("ZREM", muster.key(queue, "wakes"), worker_id)
  end
  redis.call("HDEL", muster.key(queue, "workers"), worker_id)
end

-- The worker will not claim for now: a wake it was given goes to another one.
function muster.leave_idle(queue, worker_id)
  local state = muster.worker_state(queue, worker_id)
  if not state or state.kind == "x" then return state end
  muster.attend(queue, worker_id, state)
  if state.kind == "w" then pass_on(queue, state.about) end
  return state
end

-- A worker that is not open asks for jobs: all it gets is a place to be told that it is open again.
function muster.turn_away(queue, worker_id, inbox)
  redis.call("HSET", muster.key(queue, "workers"), worker_id, "x " .. inbox)
end

function muster.set_standing(queue, worker_id, standing)
  local workers, standings = muster.key(queue, "workers"), muster.key(queue, "standing")
  redis.call("ZREM", muster.key(queue, "gone"), worker_id)
  if standing == "open" then
    local state = muster.worker_state(queue, worker_id)
    redis.call("HDEL", standings, worker_id)
    if state and state.kind == "x" then
      redis.call("HDEL", workers, worker_id)
      tell(queue, state.inbox, "wake " .. worker_id)
    end
    return
  end
  local state = muster.leave_idle(queue, worker_id)
  redis.call("HSET", workers, worker_id, "x " .. (state and state.inbox or ""))
  redis.call("HSET", standings, worker_id, standing)
  if standing == "gone" then
    redis.call("ZADD", muster.key(queue, "gone"), muster.integer(muster.now(queue)), worker_id)
  end
end

-- Forgets workers that were parked an age ago by a signature that others claim by.
function muster.forget_silent(queue)
  local signature = redis.call("ZRANDMEMBER", muster.key(queue, "idle_signatures"))
  if not signature then return end
  local idle, long_ago = muster.key_of(queue, "idle", signature), muster.integer(muster.now(queue) - gone_ms)
  local silent = redis.call("ZRANGE", idle, "-inf", long_ago, "BYSCORE", "LIMIT", 0, forgotten_at_once)
  if not silent[1] then return end
  redis.call("ZREM", idle, unpack(silent))
  forget_idle(queue, silent)
  unlist(queue, signature)
end

-- Forgets workers, at most so many, that are gone for so long that no claim of theirs can be under way.
function muster.forget_gone(queue, limit)
  local gone = muster.key(queue, "gone")
  local long_ago = muster.integer(muster.now(queue) - gone_ms)
  for _, worker_id in ipairs(redis.call("ZRANGE", gone, "-inf", long_ago, "BYSCORE", "LIMIT", 0, limit)) do
    redis.call("ZREM", gone, worker_id)
    redis.call("HDEL", muster.key(queue, "standing"), worker_id)
    redis.call("HDEL", muster.key(queue, "workers"), worker_id)
  end
end
