-- luacheck: globals muster
-- KEYS  the queue's prefix
-- ARGV  version, id
-- returns  {"job", job} or {"not_found"}

muster.register("get", { "no-writes", "allow-oom" }, function(queue, args)
  local job = muster.find(queue, args[2])
  if not job then return { "not_found" } end
  return { "job", muster.reply(queue, job) }
end)
