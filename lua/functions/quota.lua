-- luacheck: globals muster
-- Budgets that all workers of one API key share. They belong to no queue: the prefix is their own.

-- Keeps a budget as long as it matters.
local function keep(queue, key, budget)
  local now, written = muster.now(queue), {}
  for _, field in ipairs(muster.quota_fields) do
    written[#written + 1] = field
    written[#written + 1] = budget[field] and muster.integer(budget[field]) or ""
  end
  redis.call("HSET", key, unpack(written))
  redis.call("PEXPIRE", key, muster.integer(muster.quota_life(budget, now)))
end

-- KEYS  the prefix of budgets; a budget is the hash <prefix>:<budget>, with the fields of includes/quota.lua
-- ARGV  version, budget, what: "take" a call, "refused" by the provider, or "look"; retry_after_ms ("": it did not say)
-- returns  "0" when a call was taken, else how long to wait for one, in ms; for "look" {per_minute, paused_ms}, where
--          "" is no limit
muster.register("quota", { "allow-oom" }, function(queue, args)
  local key, what, retry_after = queue.prefix .. ":" .. args[2], args[3], args[4]
  if not retry_after then error({ err = "ERR bad arguments" }, 0) end
  local now, stored, budget = muster.now(queue), redis.call("HMGET", key, unpack(muster.quota_fields)), {}
  for i, field in ipairs(muster.quota_fields) do budget[field] = tonumber(stored[i] or "") or 0 end
  if (stored[1] or "") == "" then budget.per_minute = false end
  muster.quota_current(budget, now)
  local wait = muster.quota_wait(budget, now)
  if what == "look" then
    local limit = budget.per_minute and muster.integer(budget.per_minute) or ""
    return { limit, muster.integer(math.max(0, budget.paused_until - now)) }
  end
  if what == "refused" then
    muster.quota_refuse(budget, tonumber(retry_after) or false, now)
  elseif wait == 0 then
    budget.taken = budget.taken + 1
  end
  keep(queue, key, budget)
  return muster.integer(wait)
end)
