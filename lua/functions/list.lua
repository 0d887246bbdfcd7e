-- luacheck: globals muster
-- Jobs by falling sequence, filtered. Looks at a bounded stretch, and ends early when the answer grows large.
--
-- KEYS  the queue's prefix
-- ARGV  version, status ("" = any), service_required ("" = any), before (a sequence, "" = from the newest), limit
-- returns  {why, next, job…}; why it ended: "end" (nothing follows), "full" or "stretch" (go on before `next`)

-- Jobs looked at; two commands each, so that a call stays near 1 ms.
local stretch = 250

muster.register("list", { "no-writes", "allow-oom" }, function(queue, args)
  local status, service_required, before, limit = args[2], args[3], args[4], tonumber(args[5])
  local newest = before == "" and "+inf" or "(" .. before
  local entries = redis.call(
    "ZRANGE", muster.key(queue, "jobs"), newest, "-inf", "BYSCORE", "REV", "LIMIT", 0, stretch + 1, "WITHSCORES"
  )
  local reply, bytes, last_found, last_seen = { "end", "" }, 0, before, before
  for i = 1, #entries, 2 do
    local id, sequence = entries[i], entries[i + 1]
    if i > 2 * stretch then
      reply[1], reply[2] = "stretch", last_seen
      return reply
    end
    local found = redis.call("HMGET", muster.key_of(queue, "job", id), "status", "born")
    local is_meant = (status == "" or found[1] == status)
      and (service_required == "" or muster.service_of(found[2]) == service_required)
    if found[1] and is_meant then
      if #reply - 2 >= limit or bytes >= muster.reply_bytes then
        reply[1], reply[2] = "full", last_found
        return reply
      end
      local job = muster.reply(queue, muster.find(queue, id))
      bytes = bytes + muster.reply_size(job)
      reply[#reply + 1] = job
      last_found = sequence
    end
    last_seen = sequence
  end
  return reply
end)
