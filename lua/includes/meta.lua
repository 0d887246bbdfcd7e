-- luacheck: globals muster
-- The facts of the queue itself.

-- The priority step is fixed for the life of a queue, because ranks that are stored were made with it. Notes it at
-- first use; returns a refusal when another one was noted, else nil. Whoever stores jobs asks this first: the last
-- sequence is read with it.
function muster.refuse_other_step(queue, step)
  if queue.step == step then return end
  local meta = muster.key(queue, "meta")
  local known = redis.call("HMGET", meta, "priority_step_ms", "sequence")
  local noted = known[1]
  if noted and noted ~= step then return { "priority_step", noted } end
  if not noted then redis.call("HSET", meta, "priority_step_ms", step) end
  queue.step, queue.last_sequence = step, tonumber(known[2] or "0")
end

-- The next sequence, as text of a fixed width: it sorts as a number does. The counter is written with what is pending.
function muster.next_sequence(queue)
  queue.sequence = (queue.sequence or queue.last_sequence) + 1
  return string.format("%016d", queue.sequence)
end
