-- luacheck: globals muster
-- Fails when Redis would refuse a submit: without flags it is turned away when memory is short, when the server is a
-- replica, or when it has stopped writing because its disk fails.
--
-- KEYS  the queue's prefix
-- ARGV  version, priority_step_ms
-- returns  {"ok"} or {"priority_step", noted}

muster.register("ping", {}, function(queue, args)
  return muster.refuse_other_step(queue, args[2]) or { "ok" }
end)
