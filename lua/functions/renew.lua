-- luacheck: globals muster
-- Prolongs the leases that still hold.
--
-- KEYS  the queue's prefix
-- ARGV  version, lease_ms, then id, attempt, nonce of each attempt
-- returns  for each attempt in turn "1" when its lease holds, else "0"

muster.register("renew", { "allow-oom" }, function(queue, args)
  local lease_ms, first_attempt = tonumber(args[2]), 3
  local until_ms = muster.integer(muster.now(queue) + lease_ms)
  local leases, reply = {}, {}
  for i = first_attempt, #args, 3 do
    local id, attempt, nonce = args[i], args[i + 1], args[i + 2]
    local job = muster.held(queue, id, attempt, nonce)
    if job then
      leases[#leases + 1] = until_ms
      leases[#leases + 1] = id
    end
    reply[#reply + 1] = job and "1" or "0"
  end
  if #leases > 0 then redis.call("ZADD", muster.key(queue, "leases"), unpack(leases)) end
  return reply
end)
