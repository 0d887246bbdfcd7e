-- luacheck: globals muster
-- Whether jobs could be submitted now, for a batch that is stored in several calls.
--
-- KEYS  the queue's prefix
-- ARGV  version, then id and request (canonical text) of each
-- returns  {"ok"} or {"already_exists", id}: the first id that is taken by another request

muster.register("check_many", { "no-writes", "allow-oom" }, function(queue, args)
  local first_job = 2
  local count = math.floor((#args - first_job + 1) / 2)
  local there = muster.look_up_ids(queue, args, first_job, count, 2)
  for n = 1, count do
    local at = first_job + 2 * (n - 1)
    if muster.id_state(queue, args[at], args[at + 1], there[n]) == "taken" then
      return { "already_exists", args[at] }
    end
  end
  return { "ok" }
end)
