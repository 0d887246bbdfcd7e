-- luacheck: globals muster
-- How much waits, without counting jobs.

-- KEYS  the queue's prefix
-- ARGV  version
-- returns  {scheduled, pending, held, finished, unarchived}; unarchived is "" when there is no archive
muster.register("counts", { "no-writes", "allow-oom" }, function(queue)
  local function count(index)
    return redis.call("ZCARD", muster.key(queue, index))
  end
  local scheduled, held, unarchived = count("scheduled"), count("leases"), count("finished")
  local finished = unarchived + count("archived")
  local pending = math.max(0, count("jobs") - scheduled - held - finished)
  local archiving = redis.call("HGET", muster.key(queue, "meta"), "archiving") == "1"
  return {
    muster.integer(scheduled), muster.integer(pending), muster.integer(held), muster.integer(finished),
    archiving and muster.integer(unarchived) or ""
  }
end)

-- Classes that one call looks at, and bytes of what it tells of them.
local looked_at, bytes_at_most = 100, 256 * 1024

-- The time at which the first job of a class was submitted.
local function next_created_at(queue, member)
  local text = muster.get(queue, muster.key_of(queue, "job", string.sub(member, 17)))
  return text and muster.created_at_of(text)
end

-- The classes that have waiting jobs, by their number.
--
-- ARGV  version, after (a class, "0" = from the first)
-- returns  {next, {class, service_required, requirements, customer, workflow, pending, next_created_at, claimers}…};
--          next is "" when nothing follows; claimers is how many signatures match
muster.register("classes", { "no-writes", "allow-oom" }, function(queue, args)
  local classes = redis.call(
    "ZRANGE", muster.key(queue, "class_order"), "(" .. args[2], "+inf", "BYSCORE", "LIMIT", 0, looked_at
  )
  local reply, bytes = { #classes == looked_at and classes[looked_at] or "" }, 0
  for i, class in ipairs(classes) do
    local line = muster.key_of(queue, "line", class)
    local first = redis.call("ZRANGE", line, 0, 0)[1]
    local created_at = first and next_created_at(queue, first)
    if created_at then
      local known = redis.call(
        "HMGET", muster.key_of(queue, "class", class),
        "service_required", "requirements", "customer", "workflow", "audience"
      )
      local claimers = (known[5] or "") ~= "" and redis.call("ZCARD", muster.key_of(queue, "match", known[5])) or 0
      reply[#reply + 1] = {
        class, known[1] or "", known[2] or "", known[3] or "", known[4] or "",
        muster.integer(redis.call("ZCARD", line)), created_at, muster.integer(claimers)
      }
      bytes = bytes + #(known[2] or "")
      if bytes >= bytes_at_most and i < #classes then
        reply[1] = class
        break
      end
    end
  end
  return reply
end)
