-- luacheck: globals muster
-- Audiences: the set of signatures that match a class is shared by all classes that have the same one. What a job's
-- coming and going tells is then told once for each audience, and not for each pair of class and signature.
--
-- A class knows its audience, "" while nobody matches it, and its front: the head it holds there (see heads.lua).

-- Members that are written or looked at in one command.
local chunk = 1000

-- What of a class heads need: audience, and front as rank and sequence, nil when it holds none.
function muster.class_facts(queue, class)
  queue.facts = queue.facts or {}
  local facts = queue.facts[class]
  if not facts then
    local known = redis.call("HMGET", muster.key_of(queue, "class", class), "audience", "front")
    facts = { audience = known[1] or "" }
    if known[2] and known[2] ~= "" then
      local rank, sequence = string.match(known[2], "^(%S+) (%S+)$")
      facts.rank, facts.sequence = rank, sequence
    end
    queue.facts[class] = facts
  end
  return facts
end

-- Notes the front of a class, which `fronts` already has; none without a rank.
function muster.note_front(queue, class, rank, sequence)
  local facts = muster.class_facts(queue, class)
  facts.rank, facts.sequence = rank, sequence
  redis.call("HSET", muster.key_of(queue, "class", class), "front", rank and rank .. " " .. sequence or "")
end

local function members_of(queue, audience)
  return audience == "" and {} or redis.call("ZRANGE", muster.key_of(queue, "match", audience), 0, -1)
end

local function key_for(members)
  table.sort(members, function(a, b)
    return tonumber(a) < tonumber(b)
  end)
  return redis.sha1hex(table.concat(members, ","))
end

local function create(queue, key, members)
  local audience = muster.integer(redis.call("HINCRBY", muster.key(queue, "meta"), "audiences", 1))
  local match, entries = muster.key_of(queue, "match", audience), {}
  for i, signature in ipairs(members) do
    entries[#entries + 1] = "+inf"
    entries[#entries + 1] = signature
    if #entries == 2 * chunk or i == #members then
      redis.call("ZADD", match, unpack(entries))
      entries = {}
    end
  end
  redis.call("HSET", muster.key_of(queue, "audience", audience), "key", key, "classes", "0")
  redis.call("HSET", muster.key(queue, "audiences"), key, audience)
  redis.call("ZADD", muster.key(queue, "audience_order"), audience, audience)
  return audience
end

-- The audience of the members of another one and of these signatures together.
local function join_all(queue, audience, signatures)
  local members, known = members_of(queue, audience), {}
  for _, signature in ipairs(members) do known[signature] = true end
  local grown = false
  for _, signature in ipairs(signatures) do
    if not known[signature] then
      known[signature], grown = true, true
      members[#members + 1] = signature
    end
  end
  if not grown then return audience end
  local key = key_for(members)
  return redis.call("HGET", muster.key(queue, "audiences"), key) or create(queue, key, members)
end

-- The same; classes of one audience are often joined by the same signature.
local function joined(queue, audience, signatures)
  if #signatures > 1 then return join_all(queue, audience, signatures) end
  local key = audience .. "+" .. signatures[1]
  queue.joined = queue.joined or {}
  queue.joined[key] = queue.joined[key] or join_all(queue, audience, signatures)
  return queue.joined[key]
end

-- Takes a class out of its audience, which goes with its last class. Heads of it that are left do no harm.
function muster.leave_audience(queue, class)
  local facts = muster.class_facts(queue, class)
  local audience = facts.audience
  if audience == "" then return end
  if facts.rank then
    redis.call("ZREM", muster.key_of(queue, "fronts", audience), facts.sequence .. class)
  end
  facts.audience, facts.rank, facts.sequence = "", nil, nil
  local key = muster.key_of(queue, "audience", audience)
  if redis.call("HINCRBY", key, "classes", -1) > 0 then return end
  redis.call("HDEL", muster.key(queue, "audiences"), redis.call("HGET", key, "key"))
  redis.call("ZREM", muster.key(queue, "audience_order"), audience)
  redis.call("SREM", muster.key(queue, "settling"), "a" .. audience)
  redis.call("UNLINK", key, muster.key_of(queue, "match", audience), muster.key_of(queue, "fronts", audience))
  queue.joined = nil
end

-- These signatures match the class from now on, besides those that did.
function muster.admit(queue, class, signatures)
  local facts = muster.class_facts(queue, class)
  local audience = joined(queue, facts.audience, signatures)
  if audience == facts.audience then return end
  -- First in, then out: an audience without classes goes.
  redis.call("HINCRBY", muster.key_of(queue, "audience", audience), "classes", 1)
  muster.leave_audience(queue, class)
  facts.audience = audience
  redis.call("HSET", muster.key_of(queue, "class", class), "audience", audience, "front", "")
  local first = redis.call("ZRANGE", muster.look_at(queue, class), 0, 0, "WITHSCORES")
  if first[1] then muster.come_forward(queue, class, first[2], first[1]) end
end

-- A signature matches all classes of an audience: it joins, and nothing moves.
local function join(queue, audience, signature)
  local match, key = muster.key_of(queue, "match", audience), muster.key_of(queue, "audience", audience)
  if redis.call("ZSCORE", match, signature) then return true end
  local members = members_of(queue, audience)
  members[#members + 1] = signature
  local audiences, new_key = muster.key(queue, "audiences"), key_for(members)
  if redis.call("HEXISTS", audiences, new_key) == 1 then return false end
  redis.call("HDEL", audiences, redis.call("HGET", key, "key"))
  redis.call("HSET", audiences, new_key, audience)
  redis.call("HSET", key, "key", new_key)
  redis.call("ZADD", match, "+inf", signature)
  muster.publish(queue, audience)
  return true
end

-- A signature matches these classes from now on.
function muster.admit_to(queue, classes, signature)
  local by_audience = {}
  for _, class in ipairs(classes) do
    local audience = muster.class_facts(queue, class).audience
    by_audience[audience] = by_audience[audience] or {}
    table.insert(by_audience[audience], class)
  end
  for audience, some in pairs(by_audience) do
    local all = audience ~= "" and redis.call("HGET", muster.key_of(queue, "audience", audience), "classes")
    if not (tonumber(all or "0") == #some and join(queue, audience, signature)) then
      for _, class in ipairs(some) do muster.admit(queue, class, { signature }) end
    end
  end
end
