-- luacheck: globals muster
-- Whether jobs could be submitted now, for a batch that is stored in several calls.
--
-- KEYS  the queue's prefix
-- ARGV  version, then id and request (canonical text) of each
-- returns  {"ok"} or {"already_exists", id}: the first id that is taken by another request

muster.register("check_many", { "no-writes", "allow-oom" }, function(queue, args)
  local first_job = 2
  muster.look_up_ids(queue, args, first_job, math.floor((#args - first_job + 1) / 2), 2)
  for i = first_job, #args, 2 do
    if muster.id_state(queue, args[i], args[i + 1]) == "taken" then return { "already_exists", args[i] } end
  end
  return { "ok" }
end)
