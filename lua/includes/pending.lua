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

function muster.later_set(queue, key, value)
  queue.sets = queue.sets or {}
  queue.sets[key] = value
end

-- The text of such a key, as it is now.
function muster.get(queue, key)
  return queue.sets and queue.sets[key] or redis.call("GET", key)
end

function muster.later_zadd(queue, key, score, member)
  local list = list_of(queue, "zadds", key)
  list[#list + 1] = score
  list[#list + 1] = member
end

function muster.later_zrem(queue, key, member)
  local list = list_of(queue, "zrems", key)
  list[#list + 1] = member
end

function muster.later_hset(queue, key, field, value)
  local list = list_of(queue, "hsets", key)
  list[#list + 1] = field
  list[#list + 1] = value
end

function muster.later_hdel(queue, key, field)
  local list = list_of(queue, "hdels", key)
  list[#list + 1] = field
end

-- One that fails keeps no other from being made; returns what the last such one said.
local function write(command, lists, failure)
  for key, list in pairs(lists or {}) do
    local reply = redis.pcall(command, key, unpack(list))
    if type(reply) == "table" and reply.err then failure = reply end
  end
  return failure
end

function muster.write_pending(queue)
  if queue.sequence then
    redis.call("HSET", muster.key(queue, "meta"), "sequence", string.format("%.0f", queue.sequence))
  end
  if queue.sets then
    local sets = {}
    for key, value in pairs(queue.sets) do
      sets[#sets + 1] = key
      sets[#sets + 1] = value
    end
    redis.call("MSET", unpack(sets))
  end
  local failure = write("ZREM", queue.zrems)
  failure = write("HDEL", queue.hdels, failure)
  failure = write("ZADD", queue.zadds, failure)
  failure = write("HSET", queue.hsets, failure)
  failure = muster.write_events(queue) or failure
  if failure then error(failure, 0) end
end
