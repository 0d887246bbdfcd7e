-- luacheck: globals muster
-- Prolongs the leases of a worker that still hold. Jobs that the process behind `inbox` claimed for the worker and that
-- it does not list go back without using a retry: it never heard of them. A job given lately, or by the claim under
-- way, may still be heard of.
--
-- KEYS  the queue's prefix
-- ARGV  version, worker_id, inbox, lease_ms, claiming (a nonce or ""), all ("1" when every attempt it holds is listed
--       here), then id, attempt, nonce of each
-- returns  for each attempt in turn "1" when its lease holds, else "0"

local heard_within_ms = 5000
-- Jobs that one call looks at for that.
local looked_at = 200

local function return_unheard_of(queue, args, listed)
  local worker_id, inbox, claiming = args[2], args[3], args[5]
  local held = redis.call("HGETALL", muster.held_key(queue, worker_id))
  local looked, returned = 0, 0
  for i = 1, #held, 2 do
    local id = held[i]
    if looked == looked_at or returned == muster.bound then break end
    if held[i + 1] == inbox and not listed[id] then
      looked = looked + 1
      local job = muster.find(queue, id)
      local holds = job and muster.is_held(job) and job.worker_id == worker_id
      if not holds then
        redis.call("HDEL", muster.held_key(queue, worker_id), id)
      elseif tonumber(job.assigned_at) <= muster.now(queue) - heard_within_ms and job.nonce ~= claiming then
        muster.wait_again(queue, job, "returned", 0, {})
        returned = returned + 1
      end
    end
  end
end

muster.register("renew", { "allow-oom" }, function(queue, args)
  local lease_ms, all, first_attempt = tonumber(args[4]), args[6] == "1", 7
  local leases, listed, reply, holding = {}, {}, {}, 0
  for i = first_attempt, #args, 3 do
    local id, attempt, nonce = args[i], args[i + 1], args[i + 2]
    local job = muster.held(queue, id, attempt, nonce)
    local until_ms = job and muster.lease_end(queue, job, lease_ms)
    local holds = job and until_ms > muster.now(queue)
    if job and not listed[id] then
      listed[id] = true
      holding = holding + 1
    end
    if holds then
      leases[#leases + 1] = muster.integer(until_ms)
      leases[#leases + 1] = id
    end
    reply[#reply + 1] = holds and "1" or "0"
  end
  if #leases > 0 then redis.call("ZADD", muster.key(queue, "leases"), unpack(leases)) end
  local held = redis.call("HLEN", muster.held_key(queue, args[2]))
  if all and held > holding then return_unheard_of(queue, args, listed) end
  return reply
end)
