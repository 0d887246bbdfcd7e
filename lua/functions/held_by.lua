-- luacheck: globals muster
-- KEYS  the queue's prefix
-- ARGV  version, then worker ids
-- returns  for each worker in turn the ids of the jobs it holds

muster.register("held_by", { "no-writes", "allow-oom" }, function(queue, args)
  local reply, first_worker = {}, 2
  for i = first_worker, #args do
    reply[#reply + 1] = redis.call("HKEYS", muster.held_key(queue, args[i]))
  end
  return reply
end)
