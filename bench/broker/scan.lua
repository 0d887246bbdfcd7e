-- The claim of a broker that keeps one list: look at its first jobs in order, read each, take the first that fits.
-- KEYS: list, prefix of the jobs, leases. ARGV: window, worker, its job types and labels as JSON, lease in ms.
local worker = cjson.decode(ARGV[3])
local looked = redis.call("ZRANGE", KEYS[1], 0, ARGV[1] - 1)

local function fits(service, requirements)
  if not worker.job_types[service] then return false end
  for label, wanted in pairs(cjson.decode(requirements)) do
    if worker.labels[label] ~= wanted then return false end
  end
  return true
end

for _, id in ipairs(looked) do
  local job = redis.call("HMGET", KEYS[2] .. id, "service_required", "labels", "payload")
  if fits(job[1], job[2]) then
    local now = redis.call("TIME")
    local at = now[1] * 1000 + math.floor(now[2] / 1000)
    redis.call("ZREM", KEYS[1], id)
    redis.call("HSET", KEYS[2] .. id, "status", "assigned", "worker", ARGV[2], "assigned_at", at)
    redis.call("ZADD", KEYS[3], at + ARGV[4], id)
    return { id, job[3] }
  end
end
return false
