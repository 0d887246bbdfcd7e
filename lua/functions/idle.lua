-- luacheck: globals muster
-- Workers that stop looking for work, and those that may not.

-- KEYS  the queue's prefix
-- ARGV  version, worker_id
-- returns  {"left"}; {"ok"} when it was not idle: a claim of its that stood may have been given jobs already
muster.register("leave_idle", { "allow-oom" }, function(queue, args)
  local state = muster.leave_idle(queue, args[2])
  return { state and "left" or "ok" }
end)

-- ARGV  version, worker_id, standing
-- returns  {"ok"}
muster.register("set_standing", { "allow-oom" }, function(queue, args)
  if not args[3] then error({ err = "ERR bad arguments" }, 0) end
  muster.set_standing(queue, args[2], args[3])
  return { "ok" }
end)

-- ARGV  version
-- returns  {worker_id, standing…} of those that are not open
muster.register("standings", { "no-writes", "allow-oom" }, function(queue)
  return redis.call("HGETALL", muster.key(queue, "standing"))
end)
