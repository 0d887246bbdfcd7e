-- luacheck: globals muster
-- Jobs by falling sequence, filtered. Looks at a bounded stretch, and ends early when the answer grows large.
--
-- KEYS  the queue's prefix
-- ARGV  version, status, service_required, customer, workflow ("" = any), created_from, created_before (ms, "" = any),
--       before (a sequence, "" = from the newest), limit, then the workers of which one holds or held it (none = any)
-- returns  {why, next, {sequence, job}…}; why it ended: "end" (nothing follows), "full" or "stretch" (go on before
--          `next`)

-- Jobs looked at, so that a call stays near 1 ms.
local stretch = 250

-- A sequence is the time of the submit in us, or a little more when many came at once.
local more_at_most = 1000000

local function workers_in(args, first)
  if not args[first] then return nil end
  local workers = {}
  for i = first, #args do workers[args[i]] = true end
  return workers
end

-- What is looked for, as a function of the text of a job.
local function filter_of(args)
  local status, service_required, customer, workflow = args[2], args[3], args[4], args[5]
  local from, upto, workers = tonumber(args[6]), tonumber(args[7]), workers_in(args, 10)
  return function(text)
    local its_status, its_worker, its_service, its_customer, its_workflow = muster.kind_of(text)
    if not ((status == "" or its_status == status) and (service_required == "" or its_service == service_required)
      and (customer == "" or its_customer == customer) and (workflow == "" or its_workflow == workflow)
      and (not workers or workers[its_worker])) then
      return false
    end
    if not from and not upto then return true end
    local created_at = tonumber(muster.created_at_of(text))
    return (not from or created_at >= from) and (not upto or created_at < upto)
  end
end

-- Where to begin and where to end, of what is not before `before`.
local function range_of(args)
  local from, upto, newest = tonumber(args[6]), tonumber(args[7]), tonumber(args[8])
  local latest = upto and upto * 1000 + more_at_most
  if latest and not (newest and newest < latest) then newest = latest end
  return newest and "(" .. muster.integer(newest) or "+inf", from and muster.integer(from * 1000) or "-inf"
end

muster.register("list", { "no-writes", "allow-oom" }, function(queue, args)
  local before, limit, is_meant = args[8], tonumber(args[9]), filter_of(args)
  local newest, oldest = range_of(args)
  local entries = redis.call(
    "ZRANGE", muster.key(queue, "jobs"), newest, oldest, "BYSCORE", "REV", "LIMIT", 0, stretch + 1, "WITHSCORES"
  )
  local keys = {}
  for i = 1, math.min(#entries, 2 * stretch), 2 do keys[#keys + 1] = muster.key_of(queue, "job", entries[i]) end
  local texts = muster.get_many(queue, keys)
  local reply, bytes, last_found, last_seen = { "end", "" }, 0, before, before
  for i = 1, #entries, 2 do
    local id, sequence = entries[i], entries[i + 1]
    if i > 2 * stretch then
      reply[1], reply[2] = "stretch", last_seen
      return reply
    end
    local text = texts[(i + 1) / 2]
    if text and is_meant(text) then
      if #reply - 2 >= limit or bytes >= muster.reply_bytes then
        reply[1], reply[2] = "full", last_found
        return reply
      end
      local job = muster.reply(queue, muster.parse(id, text))
      bytes = bytes + muster.reply_size(job)
      reply[#reply + 1] = { sequence, job }
      last_found = sequence
    end
    last_seen = sequence
  end
  return reply
end)
