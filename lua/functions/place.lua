-- luacheck: globals muster
-- Where a waiting job stands: how many jobs come before it, of all classes whose jobs are given to workers that match
-- its own. Looks at the fronts that workers are told of, and never at jobs one by one.
--
-- KEYS  the queue's prefix
-- ARGV  version, id
-- returns  {"place", ahead, at_least, due_at, avoids}: at_least is "1" when a bound was reached before all were
--          counted; due_at (ms) is "" for a job that is not scheduled, avoids "" when it is kept from nobody;
--          {"none"}: it does not wait

-- Signatures, heads and classes that are looked at.
local signatures_at_most, heads_at_most, classes_at_most = 50, 25, 40

-- How many of the members of a line from `first` on, `count` of them and all of one rank, have a lower sequence.
local function count_ties(line, first, count, sequence)
  local low, high = 0, count
  while low < high do
    local middle = math.floor((low + high) / 2)
    local member = redis.call("ZRANGE", line, first + middle, first + middle)[1]
    if member and string.sub(member, 1, 16) < sequence then low = middle + 1 else high = middle end
  end
  return low
end

-- Jobs in the line of a class before this one.
local function count_before(queue, class, job)
  local line = muster.key_of(queue, "line", class)
  local before = redis.call("ZCOUNT", line, "-inf", "(" .. job.rank)
  local ties = redis.call("ZCOUNT", line, job.rank, job.rank)
  return before + (ties > 0 and count_ties(line, before, ties, job.sequence) or 0)
end

-- Members of a sorted set that stand at or before the rank of a job, without their sequence.
local function up_to(key, job, limit)
  local found = redis.call("ZRANGE", key, "-inf", job.rank, "BYSCORE", "LIMIT", 0, limit + 1)
  local more = found[limit + 1] ~= nil
  found[limit + 1] = nil
  for i, member in ipairs(found) do found[i] = string.sub(member, 17) end
  return found, more
end

-- The classes of which a worker that matches the job may be given something before it, as far as the bounds allow.
local function rivals(queue, job)
  local classes, seen, more = { job.class }, { [job.class] = true }, false
  local audience = muster.class_facts(queue, job.class).audience
  if audience == "" then return classes, false end
  local signatures = redis.call("ZRANGE", muster.key_of(queue, "match", audience), 0, signatures_at_most)
  if #signatures > signatures_at_most then
    signatures[#signatures] = nil
    more = true
  end
  local audiences = {}
  for _, signature in ipairs(signatures) do
    local heads, more_heads = up_to(muster.key_of(queue, "heads", signature), job, heads_at_most)
    more = more or more_heads
    for _, other in ipairs(heads) do
      local fronts, more_fronts = {}, false
      if not audiences[other] then
        audiences[other] = true
        fronts, more_fronts = up_to(muster.key_of(queue, "fronts", other), job, classes_at_most)
      end
      more = more or more_fronts
      for _, class in ipairs(fronts) do
        if not seen[class] then
          if #classes == classes_at_most then return classes, true end
          seen[class] = true
          classes[#classes + 1] = class
        end
      end
    end
  end
  return classes, more
end

muster.register("place", { "no-writes", "allow-oom" }, function(queue, args)
  local job = muster.find(queue, args[2])
  if not (job and muster.is_waiting(job)) then return { "none" } end
  local until_ms, avoids = string.match(job.avoid or "", "^(%d+) (.*)$")
  if not until_ms or tonumber(until_ms) <= muster.now(queue) then avoids = "" end
  if job.status == "scheduled" then
    return { "place", "0", "0", redis.call("ZSCORE", muster.key(queue, "scheduled"), job.id) or "", avoids }
  end
  local ahead, classes, more = 0, rivals(queue, job)
  for _, class in ipairs(classes) do ahead = ahead + count_before(queue, class, job) end
  return { "place", muster.integer(ahead), more and "1" or "0", "", avoids }
end)
