-- luacheck: globals muster
-- Heads: how a claim finds the next job of the classes that its signature matches.
--
-- A head is the rank and sequence of a job, with where to look for it. Each class that has waiting jobs holds one among
-- the fronts of its audience, and each signature holds one for each of its audiences that has fronts. Both are at or
-- before what they stand for, never behind it: lowering is done at once, raising when a claim finds them outdated.
-- `match:<audience>` has the rank of the head each signature holds, +inf for none, so that a new first front is told to
-- exactly those that hold none or a later one.

-- Signatures that one call tells; the rest of them are told in steps.
local told_per_call = 128
-- Of how many it notes at once that they are to be told.
local noted_at_once = 1000

-- A job's place in its line: the line is ordered by rank, then by member, so the sequence, which has a fixed width,
-- comes first.
function muster.member(job)
  return job.sequence .. job.id
end

local function sequence_of(member)
  return string.sub(member, 1, 16)
end

-- What follows the sequence: the id of a job, or where a head points to.
local function rest_of(member)
  return string.sub(member, 17)
end

local function is_before(rank, member, other_rank, other)
  return rank < other_rank or (rank == other_rank and sequence_of(member) < sequence_of(other))
end

-- An outdated head elsewhere may stand for the very same job: sequences are unique.
local function is_not_after(rank, sequence, other_rank, other)
  return rank < other_rank or (rank == other_rank and sequence <= sequence_of(other))
end

local function tell(queue, audience, front, rank, signatures)
  queue.seen = nil
  local head, ranks = sequence_of(front) .. audience, {}
  for i, signature in ipairs(signatures) do
    redis.call("ZADD", muster.key_of(queue, "heads", signature), rank, head)
    ranks[2 * i - 1], ranks[2 * i] = rank, signature
  end
  if ranks[1] then redis.call("ZADD", muster.key_of(queue, "match", audience), unpack(ranks)) end
end

-- Tells the first front of an audience to those of its signatures that hold no head for it, or a later one. When they
-- are too many, the audience is settling until the rest is told: then it says true.
function muster.publish(queue, audience)
  local first = redis.call("ZRANGE", muster.key_of(queue, "fronts", audience), 0, 0, "WITHSCORES")
  if not first[1] then return false end
  local left = told_per_call - (queue.told or 0)
  local signatures = redis.call(
    "ZRANGE", muster.key_of(queue, "match", audience), "(" .. first[2], "+inf", "BYSCORE", "LIMIT", 0, left + 1
  )
  local more = #signatures > left
  if more then signatures[#signatures] = nil end
  queue.told = (queue.told or 0) + #signatures
  tell(queue, audience, first[1], first[2], signatures)
  if more then
    redis.call("SADD", muster.key(queue, "settling"), "a" .. audience)
    muster.call_settle(queue, "a" .. audience)
  end
  return more
end

-- Of jobs with one rank an earlier one may come back: who holds that rank may hold a later head, and is told again.
local function tell_rank_anew(queue, audience, rank)
  local match = muster.key_of(queue, "match", audience)
  local tied = redis.call("ZRANGE", match, rank, rank, "BYSCORE")
  for first = 1, #tied, noted_at_once do
    local anew = {}
    for i = first, math.min(first + noted_at_once - 1, #tied) do
      anew[#anew + 1] = "+inf"
      anew[#anew + 1] = tied[i]
    end
    redis.call("ZADD", match, unpack(anew))
  end
end

-- The job `member` with `rank` is the first of its class now; one that is new comes after all others of its rank. True
-- when not all who match could be told at once.
function muster.come_forward(queue, class, rank, member, is_new)
  local facts = muster.class_facts(queue, class)
  if facts.audience == "" then return end
  local sequence, fronts = sequence_of(member), muster.key_of(queue, "fronts", facts.audience)
  if facts.rank then
    if not is_before(tonumber(rank), member, tonumber(facts.rank), facts.sequence) then return end
    redis.call("ZREM", fronts, facts.sequence .. class)
  end
  local front = sequence .. class
  queue.seen = nil
  redis.call("ZADD", fronts, rank, front)
  muster.note_front(queue, class, rank, sequence)
  if redis.call("ZRANGE", fronts, 0, 0)[1] ~= front then return end
  if not is_new then tell_rank_anew(queue, facts.audience, rank) end
  return muster.publish(queue, facts.audience)
end

-- Lets a job into the line of a class. One that comes after the front of its class, which is at or before the first of
-- the line, is written at the end of the call, unless something looks at the line before: see muster.look_at. True when
-- not all who match could be told of it at once.
function muster.line_up(queue, class, job)
  local facts, member, known = muster.class_facts(queue, class), muster.member(job), queue.lines or {}
  queue.lines = known
  local is_behind = facts.audience == ""
    or (facts.rank and not is_before(tonumber(job.rank), member, tonumber(facts.rank), facts.sequence))
  if is_behind and known[class] then
    local line = muster.key_of(queue, "line", class)
    if queue.views then queue.views[class] = nil end
    -- It may have been taken by this same call.
    if queue.zrems and queue.zrems[line] then muster.write_now(queue, line) end
    muster.later_zadd(queue, line, job.rank, member)
    return
  end
  redis.call("ZADD", muster.look_at(queue, class), job.rank, member)
  known[class] = true
  return not is_behind and muster.come_forward(queue, class, job.rank, member, job.is_new)
end

-- The line of a class, with all that was let into it and without what was taken.
function muster.look_at(queue, class)
  local line = muster.key_of(queue, "line", class)
  if queue.views then queue.views[class] = nil end
  muster.write_now(queue, line)
  return line
end

-- Takes jobs, by their members, out of a line.
function muster.leave_line(queue, class, ...)
  redis.call("ZREM", muster.look_at(queue, class), ...)
end

-- What a call has read of a line, from its front on: members and ranks (none when they were not asked for), how many of
-- them were looked at, and whether there may be more. Claims that travel together mostly take from the same line: each
-- look at it reads four times what the last one did.
local function view_of(queue, class, limit, with_ranks)
  queue.views = queue.views or {}
  local view = queue.views[class]
  local is_enough = view and (view.at + limit <= #view.members or not view.more)
  if is_enough and (view.ranks or not with_ranks) then return view end
  local want = math.min(math.max(limit, view and 4 * view.want or 0), muster.cheap_bound)
  local line = muster.look_at(queue, class)
  view = { at = 0, want = want }
  if with_ranks then
    local found = redis.call("ZRANGE", line, 0, want - 1, "WITHSCORES")
    view.members, view.ranks = {}, {}
    for i = 1, #found, 2 do
      table.insert(view.members, found[i])
      table.insert(view.ranks, found[i + 1])
    end
  else
    view.members = redis.call("ZRANGE", line, 0, want - 1)
  end
  view.more = #view.members == want
  queue.views[class] = view
  return view
end

-- Takes jobs of a view out of the line, by their members, of so many that were looked at.
function muster.take(queue, class, view, taken, looked)
  view.at = view.at + looked
  local list = muster.later(queue, "zrems", muster.key_of(queue, "line", class))
  local size = #list
  for i, member in ipairs(taken) do list[size + i] = member end
end

-- Puts the class's first job, if there is one, in the place of its outdated front.
local function repair_front(queue, fronts, front, class, rank, member)
  local facts, sequence = muster.class_facts(queue, class), member and sequence_of(member)
  if member then redis.call("ZADD", fronts, rank, sequence .. class) end
  -- What is left of a class that is gone, or has moved, is no front of its.
  if facts.rank and facts.sequence .. class == front then muster.note_front(queue, class, member and rank, sequence) end
  redis.call("ZREM", fronts, front)
end

-- Puts the audience's first front, if there is one, in the place of an outdated head.
local function repair_head(queue, heads, head, signature, audience, rank, front)
  redis.call("ZREM", heads, head)
  redis.call("ZADD", muster.key_of(queue, "match", audience), "XX", rank or "+inf", signature)
  if front then redis.call("ZADD", heads, rank, sequence_of(front) .. audience) end
end

-- How many jobs of a view, of the next `limit`, come before both others.
local function before_both(view, limit, other, other_rank, second, second_rank)
  local last = math.min(view.at + limit, #view.members)
  if not other and not second then return last - view.at end
  for i = view.at + 1, last do
    local rank, sequence = tonumber(view.ranks[i]), sequence_of(view.members[i])
    if (other and not is_not_after(rank, sequence, other_rank, other))
      or (second and not is_not_after(rank, sequence, second_rank, second)) then
      return i - 1 - view.at
    end
  end
  return last - view.at
end

-- The first two of heads or fronts; claims that travel together mostly look at the same.
local function first_two(queue, key)
  queue.seen = queue.seen or {}
  queue.seen[key] = queue.seen[key] or redis.call("ZRANGE", key, 0, 1, "WITHSCORES")
  return queue.seen[key]
end

-- The next jobs in order for a signature, at most `limit` and all of one class: the class, a view of its line, and how
-- many of the next ones there. Fewer are found when another class comes before. Nil when nothing waits; nil and true
-- when the bound on repairs was reached first. `repairs` counts them over several calls.
--
-- Nothing is taken. Front and head are left where they are, although the jobs may go: they are at or before what
-- follows.
function muster.next_jobs(queue, signature, limit, repairs)
  local heads = muster.key_of(queue, "heads", signature)
  while true do
    local lowest = first_two(queue, heads)
    local head = lowest[1]
    if not head then return nil, false end
    local audience = rest_of(head)
    local fronts = muster.key_of(queue, "fronts", audience)
    local first = first_two(queue, fronts)
    local front, class, view = first[1], first[1] and rest_of(first[1]), nil
    if front then
      view = view_of(queue, class, limit, lowest[3] or first[3])
      local count = before_both(view, limit, lowest[3], tonumber(lowest[4]), first[3], tonumber(first[4]))
      if count > 0 then return class, view, count end
      -- Nothing else waits: head and front stay for the job that comes next, which need not be told then.
      if not lowest[3] and not first[3] and head == sequence_of(front) .. audience then return nil, false end
    end
    if repairs.left == 0 then return nil, true end
    repairs.left = repairs.left - 1
    local member = front and view.members[view.at + 1]
    if front and not (member and front == sequence_of(member) .. class) then
      repair_front(queue, fronts, front, class, member and view.ranks[view.at + 1], member)
    else
      repair_head(queue, heads, head, signature, audience, first[2], front)
    end
    queue.seen = nil
  end
end
