-- luacheck: globals muster
-- Hands back the jobs a worker holds, without using retries, and tells its process.
--
-- KEYS  the queue's prefix
-- ARGV  version, worker_id
-- returns  {more, id…}; more is "1" when the bound was reached

muster.register("give_back_all", { "allow-oom" }, function(queue, args)
  local held = muster.held_key(queue, args[2])
  local ids = redis.call("HKEYS", held)
  local reply = { #ids > muster.bound and "1" or "0" }
  for i = 1, math.min(#ids, muster.bound) do
    local job = muster.find(queue, ids[i])
    if job and muster.is_held(job) and job.worker_id == args[2] then
      muster.tell_fenced(queue, job)
      muster.wait_again(queue, job, "returned", 0, {})
    else
      redis.call("HDEL", held, ids[i])
    end
    reply[#reply + 1] = ids[i]
  end
  return reply
end)
