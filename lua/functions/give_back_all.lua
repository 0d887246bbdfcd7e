-- luacheck: globals muster
-- Hands back the jobs a worker holds, without using retries.
--
-- KEYS  the queue's prefix
-- ARGV  version, worker_id
-- returns  {more, id…}; more is "1" when the bound was reached

muster.register("give_back_all", { "allow-oom" }, function(queue, args)
  local worker_id = args[2]
  local ids = redis.call("SMEMBERS", muster.held_key(queue, worker_id))
  local reply = { #ids > muster.bound and "1" or "0" }
  for i = 1, math.min(#ids, muster.bound) do
    muster.wait_again(queue, muster.find(queue, ids[i]), 0)
    reply[#reply + 1] = ids[i]
  end
  return reply
end)
