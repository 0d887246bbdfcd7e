-- luacheck: globals muster
-- The worker has begun: assigned becomes processing. Repeating it changes nothing.
--
-- KEYS  the queue's prefix
-- ARGV  version, id, attempt, nonce
-- returns  "ok" or "lease_lost"

muster.register_often("start", { "allow-oom" }, function(queue, args, first, calls, length, replies)
  local sub, byte, match, said, of_event = string.sub, string.byte, string.match, #replies, muster.of_event
  local keys, texts = muster.look_up_jobs(queue, args, first, calls, length)
  local sets, now = muster.sets(queue), muster.now_text(queue)
  local events = muster.events(queue)
  for i = 1, calls do
    local key, fence = keys[i], args[first + 1] .. " " .. args[first + 2] .. " "
    local text, after = sets[key] or texts[i], 3 + #fence
    local status = text and sub(text, 3, after - 1) == fence and byte(text)
    if status == muster.assigned then
      local worker_id, kind, at = match(text, of_event, after)
      sets[key] = "r " .. fence .. sub(text, after, at - 1) .. " " .. now .. sub(text, at + 1)
      events[#events + 1] = "br- " .. args[first] .. " " .. kind .. " " .. args[first + 1] .. " " .. worker_id .. " "
    end
    replies[said + i] = (status == muster.assigned or status == muster.processing) and "ok" or "lease_lost"
    first = first + length
  end
end)
