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

-- The key of an audience that one more signature joins. It is a sum, so that the order does not count and joining costs
-- the same however many there are: two sums of 48 bits of a hash of each.
local modulus = 2 ^ 48
local nobody = "0.0"

local function key_with(key, signature)
  local hash = redis.sha1hex(signature)
  local one, other = string.match(key, "^(%d+)%.(%d+)$")
  return muster.integer((tonumber(one) + tonumber(string.sub(hash, 1, 12), 16)) % modulus) .. "."
    .. muster.integer((tonumber(other) + tonumber(string.sub(hash, 13, 24), 16)) % modulus)
end

local function key_of(queue, audience)
  if audience == "" then return nobody end
  return redis.call("HGET", muster.key_of(queue, "audience", audience), "key")
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
  local there = audience ~= "" and redis.call("ZMSCORE", muster.key_of(queue, "match", audience), unpack(signatures))
  local key, new = key_of(queue, audience), {}
  for i, signature in ipairs(signatures) do
    if not (there and there[i]) then
      new[#new + 1] = signature
      key = key_with(key, signature)
    end
  end
  if not new[1] then return audience end
  local known = redis.call("HGET", muster.key(queue, "audiences"), key)
  if known then return known end
  local members = members_of(queue, audience)
  for _, signature in ipairs(new) do members[#members + 1] = signature end
  return create(queue, key, members)
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
  queue.seen = nil
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
  local old_key = key_of(queue, audience)
  local audiences, new_key = muster.key(queue, "audiences"), key_with(old_key, signature)
  if redis.call("HEXISTS", audiences, new_key) == 1 then return false end
  redis.call("HDEL", audiences, old_key)
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
