-- luacheck: globals muster
-- Capability signatures: how they are born, settled and forgotten. The rule itself is never evaluated here: a process
-- asks what has to be compared and tells the outcome.

-- Classes or signatures that one call gives to be compared, and their bytes.
local page, page_bytes = 100, 256 * 1024
-- A signature that was not used for so long is doubted, and when nobody has claimed by it for a while then, forgotten.
-- So a claim notes its use only when it is doubted. One that is missed is born again.
local forget_ms, doubt_ms = 3600000, 600000

-- The number of a signature, and whether its workers may claim; nil when it is not known.
function muster.signature(queue, id)
  queue.known = queue.known or {}
  local known = queue.known[id] or redis.call("HGET", muster.key(queue, "signatures"), id)
  if not known then return nil end
  if string.sub(known, 1, 1) == "?" then
    known = string.sub(known, 2)
    redis.call("HSET", muster.key(queue, "signatures"), id, known)
    redis.call("ZADD", muster.key(queue, "signature_use"), muster.now_text(queue), known)
  end
  queue.known[id] = known
  if string.sub(known, 1, 1) == "-" then return string.sub(known, 2), false end
  return known, true
end

-- A signature's number is the time of its birth in us: processes remember signatures by number, so none may come again
-- for another one, not even when Redis has lost its last writes, or all of them.
local function next_number(queue)
  local meta, time = muster.key(queue, "meta"), redis.call("TIME")
  local last = tonumber(redis.call("HGET", meta, "signatures") or "0")
  local number = muster.integer(math.max(last + 1, tonumber(time[1]) * 1000000 + tonumber(time[2])))
  redis.call("HSET", meta, "signatures", number)
  return number
end

-- `names` are the customers and workflows it names, as "customer:…" and "workflow:…".
function muster.create_signature(queue, id, text, machine, names)
  local meta = muster.key(queue, "meta")
  local signature = next_number(queue)
  redis.call(
    "HSET", muster.key_of(queue, "signature", signature),
    "id", id, "text", text, "machine", machine,
    "born", redis.call("HGET", meta, "classes") or "0",
    "settled", "0", "refiled", "0", "names", table.concat(names, "\n")
  )
  redis.call("ZADD", muster.key(queue, "signature_order"), signature, signature)
  redis.call("HSET", muster.key(queue, "signatures"), id, "-" .. signature)
  redis.call("ZADD", muster.key(queue, "signature_use"), muster.integer(muster.now(queue)), signature)
  for _, name in ipairs(names) do
    muster.count_name(queue, name, 1)
    redis.call("RPUSH", muster.key_of(queue, "refile", signature), name)
  end
  redis.call("SADD", muster.key(queue, "settling"), "s" .. signature)
  return signature
end

-- Files jobs anew for a signature, in one bounded step. True when nothing is left to file.
local function refile_for(queue, signature, key)
  local refile = muster.key_of(queue, "refile", signature)
  local name = redis.call("LINDEX", refile, 0)
  if not name then return true end
  local after = muster.refile(queue, name, redis.call("HGET", key, "refiled"))
  redis.call("HSET", key, "refiled", after or "0")
  if not after then redis.call("LPOP", refile) end
  return false
end

-- The next step to make a signature ready: {"ready"}, {"gone"}, {"again"}, or the classes to compare it with.
function muster.signature_step(queue, signature)
  local key = muster.key_of(queue, "signature", signature)
  local known = redis.call("HMGET", key, "id", "settled", "born")
  local id, settled, born = known[1], known[2], known[3]
  if not id or settled == "" then
    redis.call("SREM", muster.key(queue, "settling"), "s" .. signature)
    return { id and "ready" or "gone" }
  end
  if not refile_for(queue, signature, key) then return { "again" } end
  local classes = redis.call(
    "ZRANGE", muster.key(queue, "class_order"), "(" .. settled, born, "BYSCORE", "LIMIT", 0, page
  )
  if #classes == 0 then
    redis.call("HSET", key, "settled", "")
    redis.call("HSET", muster.key(queue, "signatures"), id, signature)
    redis.call("SREM", muster.key(queue, "settling"), "s" .. signature)
    return { "ready" }
  end
  local reply, bytes = { "compare", settled, classes[#classes] }, 0
  for i, class in ipairs(classes) do
    local facts = redis.call(
      "HMGET", muster.key_of(queue, "class", class), "service_required", "requirements", "customer", "workflow"
    )
    reply[#reply + 1] = { class, facts[1] or "", facts[2] or "", facts[3] or "", facts[4] or "" }
    bytes = bytes + #(facts[2] or "")
    if bytes > page_bytes and i < #classes then
      reply[3] = class
      break
    end
  end
  return reply
end

-- Takes the outcome of such a comparison: the classes of `from` to `upto` that match. One that somebody else has told
-- meanwhile changes nothing.
function muster.signature_outcome(queue, signature, from, upto, classes)
  local key = muster.key_of(queue, "signature", signature)
  local known = redis.call("HMGET", key, "id", "settled")
  if not known[1] or known[2] ~= from then return end
  local there = {}
  for _, class in ipairs(classes) do
    if redis.call("EXISTS", muster.key_of(queue, "class", class)) == 1 then there[#there + 1] = class end
  end
  muster.admit_to(queue, there, signature)
  redis.call("HSET", key, "settled", upto)
end

-- Signatures younger than `after`, as {signature, text, machine}, up to the first number that is answered.
function muster.signatures_after(queue, after)
  local newest = redis.call("HGET", muster.key(queue, "meta"), "signatures") or "0"
  local younger = redis.call(
    "ZRANGE", muster.key(queue, "signature_order"), "(" .. after, "+inf", "BYSCORE", "LIMIT", 0, page
  )
  local reply, bytes = {}, 0
  for i, signature in ipairs(younger) do
    local known = redis.call("HMGET", muster.key_of(queue, "signature", signature), "text", "machine")
    reply[i] = { signature, known[1], known[2] }
    bytes = bytes + #known[1]
    if i == page or bytes >= page_bytes then return { signature, newest, reply } end
  end
  return { newest, newest, reply }
end

-- What a class has to be compared with: {"compare", from, upto, service_required, requirements, customer, workflow},
-- the signatures after `from` up to `upto`; or {"ready"}, {"gone"}.
function muster.class_step(queue, class)
  local known = redis.call(
    "HMGET", muster.key_of(queue, "class", class),
    "settled", "born", "service_required", "requirements", "customer", "workflow"
  )
  if not known[1] or known[1] == "" then
    redis.call("SREM", muster.key(queue, "settling"), "c" .. class)
    return { known[1] and "ready" or "gone" }
  end
  return { "compare", known[1], known[2], known[3], known[4], known[5], known[6] }
end

-- Tells an audience what its signatures could not all be told at once: {"again"} or {"ready"}.
function muster.audience_step(queue, audience)
  if muster.publish(queue, audience) then
    -- Whoever takes this step goes on with it.
    queue.unsettled = nil
    return { "again" }
  end
  redis.call("SREM", muster.key(queue, "settling"), "a" .. audience)
  -- Nobody was woken for a job that not all could be told of: the first one of its class.
  local fronts = redis.call("ZRANGE", muster.key_of(queue, "fronts", audience), 0, muster.bound - 1)
  for _, front in ipairs(fronts) do muster.wake(queue, string.sub(front, 17)) end
  return { "ready" }
end

-- The same for a class: of the signatures of `from` to `upto` those that match. `machines` are those it names.
function muster.class_outcome(queue, class, from, upto, machines, signatures)
  local key = muster.key_of(queue, "class", class)
  local known = redis.call("HMGET", key, "settled", "born", "machines")
  if not known[1] or known[1] ~= from then return end
  if not known[3] then
    for machine in string.gmatch(machines, "[^\n]+") do muster.count_name(queue, "machine:" .. machine, 1) end
    redis.call("HSET", key, "machines", machines)
  end
  local living = {}
  if signatures[1] then
    local uses = redis.call("ZMSCORE", muster.key(queue, "signature_use"), unpack(signatures))
    for i, signature in ipairs(signatures) do
      if uses[i] then living[#living + 1] = signature end
    end
  end
  if living[1] then muster.admit(queue, class, living) end
  local done = tonumber(upto) >= tonumber(known[2])
  redis.call("HSET", key, "settled", done and "" or upto)
  if not done then return end
  redis.call("SREM", muster.key(queue, "settling"), "c" .. class)
  muster.wake_many(queue, class)
end

-- Forgets a signature in bounded steps: first nobody can claim by it, then every audience forgets it. True when done.
local function forget(queue, signature)
  local key = muster.key_of(queue, "signature", signature)
  local known = redis.call("HMGET", key, "id", "names", "forgotten_by")
  if known[1] then
    redis.call("ZREM", muster.key(queue, "signature_use"), signature)
    redis.call("ZREM", muster.key(queue, "signature_order"), signature)
    redis.call("SADD", muster.key(queue, "dying"), signature)
    redis.call("HDEL", muster.key(queue, "signatures"), known[1])
    redis.call("HDEL", key, "id")
    redis.call("ZREM", muster.key(queue, "idle_signatures"), signature)
    for name in string.gmatch(known[2], "[^\n]+") do muster.count_name(queue, name, -1) end
  end
  local audiences = redis.call(
    "ZRANGE", muster.key(queue, "audience_order"), "(" .. (known[3] or "0"), "+inf", "BYSCORE", "LIMIT", 0, page
  )
  for _, audience in ipairs(audiences) do redis.call("ZREM", muster.key_of(queue, "match", audience), signature) end
  if #audiences == page then
    redis.call("HSET", key, "forgotten_by", audiences[page])
    return
  end
  local idle = muster.key_of(queue, "idle", signature)
  local parked = redis.call("ZRANGE", idle, 0, page - 1)
  if parked[1] then
    local workers = {}
    for i, worker in ipairs(parked) do workers[i] = string.match(worker, "^%S+") end
    redis.call("HDEL", muster.key(queue, "workers"), unpack(workers))
    redis.call("ZREM", idle, unpack(parked))
  end
  if #parked == page then return end
  redis.call("UNLINK", key, idle, muster.key_of(queue, "heads", signature), muster.key_of(queue, "refile", signature))
  redis.call("SREM", muster.key(queue, "dying"), signature)
  redis.call("SREM", muster.key(queue, "settling"), "s" .. signature)
end

-- A signature that was doubted for a while; or nil, and true when one that was not used for long is doubted now.
local function unused(queue, now)
  local uses, long_ago = muster.key(queue, "signature_use"), muster.integer(now - forget_ms)
  local signature = redis.call("ZRANGE", uses, "-inf", long_ago, "BYSCORE", "LIMIT", 0, 1)[1]
  if not signature then return nil end
  local id = redis.call("HGET", muster.key_of(queue, "signature", signature), "id")
  local signatures = muster.key(queue, "signatures")
  if not id or redis.call("HGET", signatures, id) ~= signature then return signature end
  redis.call("HSET", signatures, id, "?" .. signature)
  redis.call("ZADD", uses, muster.integer(now - forget_ms + doubt_ms), signature)
  return nil, true
end

local classes_per_look = 8

-- Looks after a few classes and one signature whose time has come. True when there may be more.
function muster.tidy(queue)
  local now = muster.now(queue)
  local classes = redis.call(
    "ZRANGE", muster.key(queue, "class_check"), "-inf", muster.integer(now), "BYSCORE", "LIMIT", 0, classes_per_look
  )
  for _, class in ipairs(classes) do muster.check_class(queue, class) end
  local signature, doubted = redis.call("SRANDMEMBER", muster.key(queue, "dying")), false
  if not signature then signature, doubted = unused(queue, now) end
  if signature then forget(queue, signature) end
  return #classes == classes_per_look or signature ~= nil or doubted
end
