-- luacheck: globals muster
-- Events: a call notes each transition as a line, and all of its lines are one entry of the log, in the order in which
-- they happened; it is written with the last of what the call changes.
--
-- An entry is "<time> <how many lines>" and the lines. That of a job is
--   <what> <id> <service_required> <customer> <workflow> <class> <attempt> <worker> <detail>
-- What is three letters: the type, what the job is now, and how its attempt ended, "-" when none did. Names that it
-- does not have are empty; the detail is the JSON text of an error or a progress. No name holds a space, and no JSON
-- text a newline. A line that begins with "{" is an event of another store, as JSON. See StoredEvents.ts.

local types = {
  ["job.submitted"] = "s", ["job.assigned"] = "a", ["job.started"] = "b", ["job.progress"] = "g",
  ["job.completed"] = "c", ["job.failed"] = "f", ["job.cancelled"] = "x", ["job.expired"] = "e",
  ["job.requeued"] = "r", ["job.promoted"] = "p", ["job.deferred"] = "d", ["job.retried"] = "t"
}
local statuses = {
  scheduled = "s", pending = "p", assigned = "a", processing = "r", completed = "c", failed = "f", cancelled = "x",
  expired = "e"
}
local outcomes = { completed = "c", failed = "f", timed_out = "t", cancelled = "x", returned = "r", lost = "l" }

-- The lines of the call so far. What comes often adds its own without `muster.tell`.
function muster.events(queue)
  local lines = queue.events
  if not lines then
    lines = {}
    queue.events = lines
  end
  return lines
end

function muster.tell_line(queue, line)
  local lines = muster.events(queue)
  lines[#lines + 1] = line
end

-- Notes what has happened to a job, which is what it is now. `worker_id` holds or held it, `ended` is how its attempt
-- ended, `detail` is an error or a progress; each of them nil or false when there is none.
function muster.tell(queue, job, type, worker_id, ended, detail)
  muster.tell_line(
    queue,
    types[type] .. statuses[job.status] .. (outcomes[ended] or "-") .. " " .. job.id .. " "
      .. job.service_required .. " " .. (job.customer or "") .. " "
      .. (job.workflow or "") .. " " .. (job.filed or job.class or "") .. " " .. (job.attempt or "0") .. " "
      .. (worker_id or "") .. " " .. (detail or "")
  )
end

function muster.write_events(queue)
  local lines = queue.events
  if not lines or not lines[1] then return nil end
  local text = muster.now_text(queue) .. " " .. #lines .. "\n" .. table.concat(lines, "\n")
  local reply = redis.pcall("XADD", muster.key(queue, "log"), "*", "e", text)
  return type(reply) == "table" and reply.err and reply or nil
end

-- The name of the log, nil when it has none yet, and the position before the first event that is kept.
function muster.log_facts(queue)
  local known = redis.call("HMGET", muster.key(queue, "meta"), "log", "trimmed")
  return known[1] or nil, known[2] or "0-0-0"
end

-- The log's name is made once, from the clock, so that another one is there when all is lost.
function muster.new_log_name(queue)
  muster.now(queue)
  return string.format("%x", queue.micros)
end

function muster.open_log(queue)
  redis.call("HSETNX", muster.key(queue, "meta"), "log", muster.new_log_name(queue))
end

-- The position behind an entry.
function muster.behind(entry)
  local lines = string.match(entry[2][2], "^%d+ (%d+)")
  return entry[1] .. "-" .. muster.integer(tonumber(lines) - 1)
end

-- The position behind the last event there is.
function muster.log_end(queue, trimmed)
  local last = redis.call("XREVRANGE", muster.key(queue, "log"), "+", "-", "COUNT", 1)[1]
  return last and muster.behind(last) or trimmed
end

-- Bytes of the log, about; 0 where the server does not tell.
function muster.log_bytes(queue)
  local bytes = redis.pcall("MEMORY", "USAGE", muster.key(queue, "log"))
  return tonumber(bytes) or 0
end
