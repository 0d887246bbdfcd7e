-- luacheck: globals muster
-- Ends a job as completed.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce, result (JSON text, kept as it is)
-- returns  "ok" or "lease_lost"

-- Results of so many bytes need no key of their own.
local small = 60

local function late(queue, id, attempt)
  muster.keep_late(queue, id, attempt, "completed")
  return "lease_lost"
end

-- Completions by one worker mostly come together.
muster.register_often("complete", { "allow-oom" }, function(queue, args, first, calls, length, replies)
  if length < 4 then error({ err = "ERR bad arguments" }, 0) end
  local sub, byte, find, match, said = string.sub, string.byte, string.find, string.match, #replies
  local assigned, processing, completed = muster.assigned, muster.processing, muster.completed
  local keys, texts = muster.look_up_jobs(queue, args, first, calls, length)
  local sets, now = muster.sets(queue), muster.now_text(queue)
  local events, of_event = muster.events(queue), muster.of_event
  local finished = muster.later(queue, "zadds", muster.key(queue, "finished"))
  local finished_size, ids, count, holder = #finished, {}, 0, nil
  for i = 1, calls do
    local id, attempt, result, key = args[first], args[first + 1], args[first + 3], keys[i]
    local fence = attempt .. " " .. args[first + 2] .. " "
    local text, after = sets[key] or texts[i], 3 + #fence
    local status = text and sub(text, 3, after - 1) == fence and byte(text)
    local reply = "ok"
    if status == assigned or status == processing then
      local worker_id, kind, at = match(text, of_event, after)
      local before, behind = sub(text, after, at - 1), sub(text, at)
      if #result <= small and not find(result, "\n", 1, true) then
        sets[key] = "c " .. fence .. before .. now .. behind .. "\nresult " .. result
      else
        sets[muster.key_of(queue, "result", id)] = result
        sets[key] = "c " .. fence .. before .. now .. behind
      end
      events[#events + 1] = "ccc " .. id .. " " .. kind .. " " .. attempt .. " " .. worker_id .. " "
      finished[finished_size + 1], finished[finished_size + 2] = now, id
      finished_size = finished_size + 2
      if worker_id ~= holder then
        muster.release(queue, ids, holder)
        ids, count, holder = {}, 0, worker_id
      end
      count = count + 1
      ids[count] = id
    elseif status ~= completed then
      reply = text and muster.try(late, queue, id, attempt) or "lease_lost"
    end
    replies[said + i] = reply
    first = first + length
  end
  muster.release(queue, ids, holder)
end)
