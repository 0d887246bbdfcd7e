-- luacheck: globals muster
-- A job, and where the log ends at the same moment.
--
-- KEYS  the queue's prefix
-- ARGV  version, id
-- returns  {"job", job, log, position (see log.lua)} or {"not_found"}
--
-- Never part of a batch: what others did in the same call is in the log only at its end.

muster.register("observe", { "no-writes", "allow-oom" }, function(queue, args)
  local job = muster.find(queue, args[2])
  local name, trimmed = muster.log_facts(queue)
  if not job then return { "not_found" } end
  return { "job", muster.reply(queue, job), name, muster.log_end(queue, trimmed) }
end)
