-- luacheck: globals muster
-- Writes that nothing else in the same call reads, texts of whole keys apart: they are gathered and made at its end,
-- one command for each key instead of one for each job. Removals come first: a job may be let go and given again in one
-- call.

local function list_of(queue, kind, key)
  local all = queue[kind]
  if not all then
    all = {}
    queue[kind] = all
  end
  local list = all[key]
  if not list then
    list = {}
    all[key] = list
  end
  return list
end

-- The texts that will be written, by key.
function muster.sets(queue)
  local sets = queue.sets
  if not sets then
    sets = {}
    queue.sets = sets
  end
  return sets
end

function muster.later_set(queue, key, value)
  muster.sets(queue)[key] = value
end

-- The text of such a key, as it is now; false when there is none.
function muster.get(queue, key)
  return queue.sets and queue.sets[key] or redis.call("GET", key)
end

-- Those of many keys.
function muster.get_many(queue, keys)
  local texts, sets = keys[1] and redis.call("MGET", unpack(keys)) or {}, queue.sets
  for i, key in ipairs(sets and keys or {}) do texts[i] = sets[key] or texts[i] end
  return texts
end

-- Removes such keys, and others.
function muster.unlink(queue, keys)
  for _, key in ipairs(keys) do
    if queue.sets then queue.sets[key] = nil end
  end
  redis.call("UNLINK", unpack(keys))
end

-- What will be written to a key, for a caller with many members: score, member, score, member…, or members.
muster.later = list_of

function muster.later_zadd(queue, key, score, member)
  local list = list_of(queue, "zadds", key)
  local size = #list
  list[size + 1], list[size + 2] = score, member
end

function muster.later_zrem(queue, key, member)
  local list = list_of(queue, "zrems", key)
  list[#list + 1] = member
end

local function write_one(command, lists, key)
  local list = lists and lists[key]
  if not list then return end
  lists[key] = nil
  if list[1] then redis.call(command, key, unpack(list)) end
end

-- Makes those of one sorted set at once.
function muster.write_now(queue, key)
  write_one("ZREM", queue.zrems, key)
  write_one("ZADD", queue.zadds, key)
end

-- One that fails keeps no other from being made; returns what the last such one said.
local function write(command, lists, failure)
  for key, list in pairs(lists or {}) do
    local reply = list[1] and redis.pcall(command, key, unpack(list))
    if type(reply) == "table" and reply.err then failure = reply end
  end
  return failure
end

function muster.write_pending(queue)
  if queue.sequence then
    redis.call("HSET", muster.key(queue, "meta"), "sequence", string.format("%.0f", queue.sequence))
  end
  if queue.sets then
    local sets, size = {}, 0
    for key, value in pairs(queue.sets) do
      sets[size + 1], sets[size + 2] = key, value
      size = size + 2
    end
    if size > 0 then redis.call("MSET", unpack(sets)) end
  end
  local failure = write("ZREM", queue.zrems)
  failure = write("HDEL", queue.hdels, failure)
  failure = write("ZADD", queue.zadds, failure)
  failure = write("HSET", queue.hsets, failure)
  failure = muster.write_events(queue) or failure
  if failure then error(failure, 0) end
end
