-- luacheck: globals muster
-- The facts of the queue itself.

-- The priority step is fixed for the life of a queue, because ranks that are stored were made with it. Notes it at
-- first use; returns a refusal when another one was noted, else nil.
function muster.refuse_other_step(queue, step)
  if queue.step == step then return end
  local noted = redis.call("HGET", muster.key(queue, "meta"), "priority_step_ms")
  if noted and noted ~= step then return { "priority_step", noted } end
  if not noted then redis.call("HSET", muster.key(queue, "meta"), "priority_step_ms", step) end
  queue.step = step
end
