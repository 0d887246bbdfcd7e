-- luacheck: globals muster
-- How a budget that is shared by the workers of one API key goes down and up, as pure steps: core's Allowances.ts says
-- why, and is the same. A budget is a table with per_minute (false: no limit), paused_until, changed_at, calm_minutes,
-- minute, taken and taken_before; times are in ms.

local minute_ms, lower_to, rises_to, forgotten_after = 60000, 7, 11, 10
local together, default_pause, longest_pause = 5000, 5000, 3600000

muster.quota_fields = { "per_minute", "paused_until", "changed_at", "calm_minutes", "minute", "taken", "taken_before" }

-- The budget as it is by now: limits rise with calm minutes. Changes it in its place.
function muster.quota_current(budget, now)
  local minute = math.floor(now / minute_ms)
  if minute > budget.minute then
    budget.taken_before = minute == budget.minute + 1 and budget.taken or 0
    budget.minute, budget.taken = minute, 0
  end
  if not budget.per_minute then return end
  local since = math.max(budget.changed_at, budget.paused_until)
  local calm = math.floor((now - since) / minute_ms)
  if calm <= 0 then return end
  budget.calm_minutes = budget.calm_minutes + calm
  if budget.calm_minutes >= forgotten_after then
    budget.per_minute, budget.calm_minutes, budget.changed_at = false, 0, 0
    return
  end
  for _ = 1, calm do budget.per_minute = math.ceil(budget.per_minute * rises_to / 10) end
  budget.changed_at = since + calm * minute_ms
end

-- How long to wait for a call, in ms; 0 when there is one.
function muster.quota_wait(budget, now)
  if budget.paused_until > now then return budget.paused_until - now end
  if not budget.per_minute or budget.taken < budget.per_minute then return 0 end
  return (budget.minute + 1) * minute_ms - now
end

-- The provider refused a call; `retry_after` is in ms, or false when it did not say.
function muster.quota_refuse(budget, retry_after, now)
  local pause = math.min(math.max(0, math.ceil(retry_after or default_pause)), longest_pause)
  local was_paused = budget.paused_until > now
  local is_heard = budget.per_minute and budget.calm_minutes == 0 and now - budget.changed_at < together
  budget.paused_until = math.max(budget.paused_until, now + pause)
  if is_heard or was_paused then return end
  local busiest = math.max(budget.taken, budget.taken_before)
  local before = budget.per_minute and math.min(budget.per_minute, math.max(busiest, 1)) or busiest
  budget.per_minute = math.max(1, math.floor(before * lower_to / 10))
  budget.changed_at, budget.calm_minutes = now, 0
end

-- How long a budget has to be remembered, in ms: until its limit is forgotten, or its calls are no more counted.
function muster.quota_life(budget, now)
  local limited = budget.per_minute and (forgotten_after + 1) * minute_ms or 0
  return math.max(0, budget.paused_until - now) + limited + 2 * minute_ms
end
