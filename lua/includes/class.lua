-- luacheck: globals muster
-- Requirement classes: which class a job belongs to now, and the life of classes.
--
-- A class is settled against the signatures that are older than it by whoever made it; younger signatures settle
-- themselves against it. Until then its jobs wait in its line, and nobody is offered them.

-- How long after its birth, and after each look, a class is looked at again: one that is empty then goes.
local check_ms = 600000

-- What of the job's customer or workflow belongs to its class: itself while some signature names it, else nothing.
local function if_named(queue, kind, value)
  if not value or value == "" then return "" end
  local name = kind .. ":" .. value
  queue.named = queue.named or {}
  if queue.named[name] == nil then
    queue.named[name] = redis.call("HEXISTS", muster.key(queue, "named"), name) == 1
  end
  return queue.named[name] and value or ""
end

-- Asks the caller to settle a class ("c…") or to tell an audience the rest ("a…").
function muster.call_settle(queue, name)
  queue.unsettled = queue.unsettled or {}
  queue.unsettled[#queue.unsettled + 1] = name
end

local function create(queue, key, job, customer, workflow)
  local meta = muster.key(queue, "meta")
  local class = muster.integer(redis.call("HINCRBY", meta, "classes", 1))
  local born = redis.call("HGET", meta, "signatures") or "0"
  redis.call(
    "HSET", muster.key_of(queue, "class", class),
    "key", key,
    "service_required", job.service_required,
    "requirements", job.requirements or "",
    "customer", customer,
    "workflow", workflow,
    "born", born,
    "settled", "0"
  )
  redis.call("ZADD", muster.key(queue, "class_order"), class, class)
  redis.call("ZADD", muster.key(queue, "class_check"), muster.integer(muster.now(queue) + check_ms), class)
  redis.call("SADD", muster.key(queue, "settling"), "c" .. class)
  -- Last, for from now on jobs are filed there.
  redis.call("HSET", muster.key(queue, "classes"), key, class)
  muster.call_settle(queue, "c" .. class)
  return class
end

-- The class the job belongs to now; it is made when there is none. `base` stands for service_required and
-- requirements.
function muster.class_of(queue, job)
  local customer = if_named(queue, "customer", job.customer)
  local workflow = if_named(queue, "workflow", job.workflow)
  local key = (job.base or job.service_required) .. "|" .. customer .. "|" .. workflow
  queue.class_of = queue.class_of or {}
  local class = queue.class_of[key] or redis.call("HGET", muster.key(queue, "classes"), key)
  class = class or create(queue, key, job, customer, workflow)
  queue.class_of[key] = class
  return class
end

-- One more or one less names a customer, workflow or machine. Returns how many do.
function muster.count_name(queue, name, change)
  local named = muster.key(queue, "named")
  local count = redis.call("HINCRBY", named, name, change)
  if count <= 0 then redis.call("HDEL", named, name) end
  queue.named, queue.class_of = nil, nil
  return count
end

-- Looks at a class whose time has come: forgets it when it is empty. Heads of it that are left do no harm.
function muster.check_class(queue, class)
  local key = muster.key_of(queue, "class", class)
  local known = redis.call("HMGET", key, "key", "settled", "machines")
  local empty = redis.call("EXISTS", muster.look_at(queue, class)) == 0
  if not (known[1] and empty and known[2] == "") then
    local next_look = muster.integer(muster.now(queue) + check_ms)
    if known[1] then
      redis.call("ZADD", muster.key(queue, "class_check"), next_look, class)
    else
      redis.call("ZREM", muster.key(queue, "class_check"), class)
    end
    return
  end
  for machine in string.gmatch(known[3] or "", "[^\n]+") do muster.count_name(queue, "machine:" .. machine, -1) end
  redis.call("HDEL", muster.key(queue, "classes"), known[1])
  redis.call("ZREM", muster.key(queue, "class_order"), class)
  redis.call("ZREM", muster.key(queue, "class_check"), class)
  muster.leave_audience(queue, class)
  redis.call("DEL", key)
  queue.class_of, queue.facts = nil, nil
end
