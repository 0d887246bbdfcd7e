-- luacheck: globals muster
-- The facts of the queue itself.

-- The priority step is fixed for the life of a queue, because ranks that are stored were made with it. Notes it at
-- first use; returns a refusal when another one was noted, else nil. Whoever stores jobs asks this first: the last
-- sequence is read with it.
function muster.refuse_other_step(queue, step)
  if queue.step == step then return end
  local meta = muster.key(queue, "meta")
  local known = redis.call("HMGET", meta, "priority_step_ms", "sequence", "log")
  local noted = known[1]
  if noted and noted ~= step then return { "priority_step", noted } end
  if not noted then redis.call("HSET", meta, "priority_step_ms", step) end
  if not known[3] then muster.open_log(queue) end
  queue.step, queue.last_sequence = step, tonumber(known[2] or "0")
end

-- A sequence as text of a fixed width: it sorts as a number does.
function muster.sequence_text(sequence)
  return string.format("%016d", sequence)
end

-- The next sequence. It is the time in us, or the next number when that is behind: so sequences rise even when Redis
-- has lost its last writes, or all of them. The last one is written with what is pending.
function muster.next_sequence(queue)
  muster.now(queue)
  queue.sequence = math.max((queue.sequence or queue.last_sequence) + 1, queue.micros)
  return muster.sequence_text(queue.sequence)
end
