-- luacheck: globals muster
-- Heads: what a signature knows of the classes it matches, and how a claim finds the next job by it.
--
-- A head is the rank and sequence of a job with the class it waits in. For each class it matches that has waiting
-- jobs, a signature holds a head at or before the class's first job: never one behind it. Lowering is done at once,
-- raising when a claim finds the head outdated. `match:<class>` has the rank of the head each matching signature
-- holds, +inf for none, so that a new first job is told to exactly those that hold none or a later one.

-- Signatures that one call publishes a job to; a class with more of them is published in steps.
local publish_bound = 128
-- Signatures that one command takes.
local told_at_once = 1000

-- A job's place in its line: the line is ordered by rank, then by member, so the sequence, which has a fixed width,
-- comes first.
function muster.member(job)
  return job.sequence .. job.id
end

-- The head for a member of the line of a class.
local function head_of(member, class)
  return string.sub(member, 1, 16) .. class
end

-- Tells the class's first job to the signatures that hold no head for it, or a later one; all of them in the end:
-- when they are too many, the class is settling until the rest is told.
function muster.publish(queue, class)
  local first = redis.call("ZRANGE", muster.look_at(queue, class), 0, 1, "WITHSCORES")
  if not first[1] then return false end
  local match, rank = muster.key_of(queue, "match", class), first[2]
  local head = head_of(first[1], class)
  local told = redis.call(
    "ZRANGE", match, "(" .. rank, "+inf", "BYSCORE", "LIMIT", 0, publish_bound + 1, "WITHSCORES"
  )
  local count, ranks = math.min(#told / 2, publish_bound), {}
  for i = 1, count do
    local signature, held = told[2 * i - 1], told[2 * i]
    local heads = muster.key_of(queue, "heads", signature)
    if held == first[4] then redis.call("ZREM", heads, head_of(first[3], class)) end
    redis.call("ZADD", heads, rank, head)
    ranks[2 * i - 1], ranks[2 * i] = rank, signature
  end
  if count > 0 then redis.call("ZADD", match, unpack(ranks)) end
  if #told / 2 > publish_bound then
    redis.call("SADD", muster.key(queue, "settling"), "c" .. class)
    muster.call_settle(queue, class)
    return true
  end
  return false
end

-- Lets a job into the line of a class. One that is not its first one is written at the end of the call, unless
-- something looks at the line before: see muster.look_at.
function muster.line_up(queue, class, job)
  local line, member = muster.key_of(queue, "line", class), muster.member(job)
  local rank, firsts = tonumber(job.rank), queue.firsts or {}
  queue.firsts = firsts
  local first = firsts[class]
  if not first then
    local there = redis.call("ZRANGE", line, 0, 0, "WITHSCORES")
    first = { member = there[1], rank = tonumber(there[2]) }
    firsts[class] = first
  end
  if first.member and (first.rank < rank or (first.rank == rank and first.member < member)) then
    muster.later_zadd(queue, line, job.rank, member)
    return
  end
  redis.call("ZADD", line, job.rank, member)
  -- Of jobs with one rank an earlier one may come back: those that hold that rank may hold a later head, whether or not
  -- its job still waits. They are told anew.
  if not job.is_new then
    local match = muster.key_of(queue, "match", class)
    local told = redis.call("ZRANGE", match, job.rank, job.rank, "BYSCORE")
    for i = 1, #told, told_at_once do
      local anew = {}
      for j = i, math.min(i + told_at_once - 1, #told) do
        anew[#anew + 1] = "+inf"
        anew[#anew + 1] = told[j]
      end
      redis.call("ZADD", match, unpack(anew))
    end
  end
  firsts[class] = { member = member, rank = rank }
  muster.publish(queue, class)
end

-- The line of a class, with all that was let into it.
function muster.look_at(queue, class)
  local line = muster.key_of(queue, "line", class)
  local entries = queue.zadds and queue.zadds[line]
  if entries then
    queue.zadds[line] = nil
    redis.call("ZADD", line, unpack(entries))
  end
  return line
end

-- Takes jobs, by their members, out of a line.
function muster.leave_line(queue, class, ...)
  redis.call("ZREM", muster.look_at(queue, class), ...)
  if queue.firsts then queue.firsts[class] = nil end
end

-- The class and signature match, which is said once: the signature is given the class's head.
function muster.pair(queue, class, signature)
  local first = redis.call("ZRANGE", muster.look_at(queue, class), 0, 0, "WITHSCORES")
  redis.call("ZADD", muster.key_of(queue, "match", class), first[2] or "+inf", signature)
  if first[1] then
    redis.call("ZADD", muster.key_of(queue, "heads", signature), first[2], head_of(first[1], class))
  end
end

-- Whether a job comes before another head: that of a later job, or an outdated one of the same job in another class.
local function before(rank, sequence, other_rank, other)
  return rank < other_rank or (rank == other_rank and sequence <= string.sub(other, 1, 16))
end

-- Puts the class's true first job in the place of an outdated head.
local function repair(queue, heads, signature, head, class)
  redis.call("ZREM", heads, head)
  local first = redis.call("ZRANGE", muster.look_at(queue, class), 0, 0, "WITHSCORES")
  redis.call("ZADD", muster.key_of(queue, "match", class), "XX", first[2] or "+inf", signature)
  if first[1] then redis.call("ZADD", heads, first[2], head_of(first[1], class)) end
end

-- The next jobs in order for a signature, at most `limit` and all of one class: their members, and the class. Fewer
-- are found when another class comes before. Nil when nothing waits; nil and true when the bound on repairs was
-- reached first. `repairs` counts them over several calls.
--
-- Nothing is taken. The head is left where it is, although the jobs may go: it is at or before what follows.
function muster.next_members(queue, signature, limit, repairs)
  local heads = muster.key_of(queue, "heads", signature)
  while true do
    local lowest = redis.call("ZRANGE", heads, 0, 1, "WITHSCORES")
    local head = lowest[1]
    if not head then return nil, false end
    local other, other_rank = lowest[3], tonumber(lowest[4])
    local class = string.sub(head, 17)
    local waiting = redis.call("ZRANGE", muster.look_at(queue, class), 0, limit - 1, "WITHSCORES")
    local found = {}
    for i = 1, #waiting, 2 do
      local member = waiting[i]
      if other and not before(tonumber(waiting[i + 1]), string.sub(member, 1, 16), other_rank, other) then break end
      found[#found + 1] = member
    end
    if found[1] then return found, class end
    if repairs.left == 0 then return nil, true end
    repairs.left = repairs.left - 1
    repair(queue, heads, signature, head, class)
  end
end
