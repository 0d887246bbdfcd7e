-- luacheck: globals muster
-- The event log of the queue: reading, adding what other stores tell, and forgetting. See includes/events.lua.
--
-- A position is "<ms>-<n>-<line>": after that line, from 0, of the entry <ms>-<n>.

-- What one page holds at most; what an entry has is answered whole.
local entries_per_page, entries_at_once, bytes_per_page = 250, 25, 256 * 1024

-- Whether an entry comes before another one, both as texts.
local function is_before(entry, other)
  local ms, n = string.match(entry, "^(%d+)-(%d+)")
  local other_ms, other_n = string.match(other, "^(%d+)-(%d+)")
  ms, other_ms = tonumber(ms), tonumber(other_ms)
  return ms < other_ms or (ms == other_ms and tonumber(n) < tonumber(other_n))
end

-- KEYS  the queue's prefix
-- ARGV  version, log (its name), entry, line (what was read last), limit (of events, about)
-- returns  {"page", {entry, text}…}; the first may be the entry that was read up to that line;
--          {"trimmed"}: events after it are forgotten; {"foreign"}: it was never there, or is lost
muster.register("read_log", { "no-writes", "allow-oom" }, function(queue, args)
  local log, after, line, limit = args[2], args[3], tonumber(args[4]), tonumber(args[5])
  local name, trimmed = muster.log_facts(queue)
  if name ~= log then return { "foreign" } end
  local reply, found, entries, bytes, first = { "page" }, 0, 0, 0, after
  while found < limit and entries < entries_per_page and bytes < bytes_per_page do
    local page = redis.call("XRANGE", muster.key(queue, "log"), first, "+", "COUNT", entries_at_once)
    if entries == 0 and not (page[1] and page[1][1] == after) and after .. "-" .. args[4] ~= trimmed then
      return { is_before(after, trimmed) and "trimmed" or "foreign" }
    end
    for _, entry in ipairs(page) do
      local text = entry[2][2]
      local lines = tonumber(string.match(text, "^%d+ (%d+)"))
      if entry[1] ~= after then
        found = found + lines
      else
        found = found + math.max(0, lines - 1 - line)
      end
      entries, bytes = entries + 1, bytes + #text
      if entry[1] ~= after or line < lines - 1 then reply[#reply + 1] = { entry[1], text } end
      if found >= limit or bytes >= bytes_per_page then break end
    end
    if #page < entries_at_once then break end
    first = "(" .. page[#page][1]
  end
  return reply
end)

-- ARGV  version
-- returns  {log, start, end, entries, bytes, first}: positions before the first event that is kept and behind the last
--          one; first is an entry, "" when nothing is kept; log is "" while it has no name yet
muster.register("log_state", { "no-writes", "allow-oom" }, function(queue)
  local name, trimmed = muster.log_facts(queue)
  local key = muster.key(queue, "log")
  local first = redis.call("XRANGE", key, "-", "+", "COUNT", 1)[1]
  local entries = redis.call("XLEN", key)
  return {
    name or "", trimmed, muster.log_end(queue, trimmed), muster.integer(entries),
    entries > 0 and muster.integer(muster.log_bytes(queue)) or "0", first and first[1] or ""
  }
end)

-- Gives the log its name.
--
-- ARGV  version
-- returns  {"ok"}
muster.register("open_log", { "allow-oom" }, function(queue)
  muster.open_log(queue)
  return { "ok" }
end)

-- Adds events of another store, unless the log has those up to that number already.
--
-- ARGV  version, source, number, then a JSON text for each event
-- returns  {"ok"}
muster.register("append_log", { "allow-oom" }, function(queue, args)
  local meta, field, number, first_event = muster.key(queue, "meta"), "relayed:" .. args[2], tonumber(args[3]), 4
  if not number then error({ err = "ERR bad arguments" }, 0) end
  if number <= tonumber(redis.call("HGET", meta, field) or "0") then return { "ok" } end
  muster.open_log(queue)
  for i = first_event, #args do muster.tell_line(queue, args[i]) end
  redis.call("HSET", meta, field, muster.integer(number))
  return { "ok" }
end)

-- ARGV  version, source
-- returns  the number up to which events of a source were added
muster.register("relayed", { "no-writes", "allow-oom" }, function(queue, args)
  return redis.call("HGET", muster.key(queue, "meta"), "relayed:" .. args[2]) or "0"
end)

-- Entries that one call forgets; so many are at most as many nodes of the stream.
local forgotten_at_once, entries_per_node = 500, 100

local function lower(entry, other)
  return is_before(other, entry) and other or entry
end

-- The entry that follows, as far as ids can tell.
local function after_entry(entry)
  local ms, n = string.match(entry, "^(%d+)-(%d+)$")
  return ms .. "-" .. muster.integer(tonumber(n) + 1)
end

-- A position before an entry, and behind any other one before it.
local function in_front_of(entry)
  local ms, n = string.match(entry, "^(%d+)-(%d+)$")
  if n ~= "0" then return ms .. "-" .. muster.integer(tonumber(n) - 1) .. "-9999" end
  return muster.integer(tonumber(ms) - 1) .. "-999999999999999-9999"
end

-- Forgets old entries: those before `cut`, in whole nodes of the stream as far as the bound allows, and when that has
-- taken all it can, what is left of the last node up to `exact_cut`. True when more may be left.
local function forget(queue, cut, exact_cut)
  local key, meta = muster.key(queue, "log"), muster.key(queue, "meta")
  local last = exact_cut ~= "0-0" and redis.call("XREVRANGE", key, "(" .. exact_cut, "-", "COUNT", 1)[1]
  if not last then return false end
  local gone = redis.call("XTRIM", key, "MINID", "~", cut, "LIMIT", forgotten_at_once)
  local first = redis.call("XRANGE", key, "-", "+", "COUNT", 1)[1]
  if first and gone > forgotten_at_once - entries_per_node then
    redis.call("HSET", meta, "trimmed", in_front_of(first[1]))
    return true
  end
  redis.call("XTRIM", key, "MINID", "=", exact_cut)
  redis.call("HSET", meta, "trimmed", muster.behind(last))
  return false
end

-- Forgets what is older than the retention, and over the limit what is archived whatever its age. Never what is not
-- archived, nor where the archive stands unless it is the very end of what is forgotten: it reads on from there.
--
-- ARGV  version, retention_ms, max_bytes, log, entry, line (what the archive has last; "" when there is none)
-- returns  "1" when more is left to forget, else "0"
muster.register("trim_log", { "allow-oom" }, function(queue, args)
  local retention_ms, max_bytes, log, archived, line = tonumber(args[2]), tonumber(args[3]), args[4], args[5], args[6]
  if not (retention_ms and max_bytes and line) then error({ err = "ERR bad arguments" }, 0) end
  if log ~= "" and (muster.log_facts(queue)) ~= log then return "0" end
  local is_full = muster.log_bytes(queue) > max_bytes
  local cut = is_full and after_entry(muster.integer(muster.now(queue)) .. "-0")
    or muster.integer(muster.now(queue) - retention_ms + 1) .. "-0"
  if log == "" then return forget(queue, cut, cut) and "1" or "0" end
  local entry = redis.call("XRANGE", muster.key(queue, "log"), archived, archived)[1]
  local has_all = entry and muster.behind(entry) == archived .. "-" .. line
  return forget(queue, lower(cut, archived), lower(cut, has_all and after_entry(archived) or archived)) and "1" or "0"
end)
