-- luacheck: globals muster
-- What every function gets: the queue it was called for, with its keys and the time.

-- Items one call may look at, change or hand out.
muster.bound = 100
-- Bytes of payloads and results after which a reply ends.
muster.reply_bytes = 4 * 1024 * 1024

-- Registers `muster_1_<name>`. `run` gets the queue and ARGV; ARGV[1] is the library version the caller was built
-- with, so that a server whose library was replaced by an older one notices and loads its own again.
function muster.register(name, flags, run)
  redis.register_function({
    function_name = "muster_1_" .. name,
    flags = flags,
    callback = function(keys, args)
      if tonumber(args[1]) > muster.version then
        return redis.error_reply("OUTDATED the function library is older than the caller")
      end
      return run({ prefix = keys[1] }, args)
    end
  })
end

-- The one place that spells keys. The prefix is KEYS[1] and carries the hash tag: `{muster:<queue>}`.
--   meta                 hash: priority_step_ms, sequence, last_tick, reap_from
--   jobs                 sorted set: id by sequence, every job there is
--   waiting:<job type>   sorted set: member (see muster.member) by rank
--   scheduled            sorted set: id by the time it is due
--   expiring             sorted set: id by expires_at, of jobs that wait
--   leases               sorted set: id by the time the lease ends
--   held:<worker>        set: ids of the jobs the worker holds
--   finished             sorted set: id by finished_at
--   failed               sorted set: id by sequence, of jobs that failed
--   job:<id>             hash: the state of a job, small values only; empty means null
--   request:<id>         string: the canonical text of its request
--   result:<id>          string: the text of its result, once completed
function muster.key(queue, name)
  return queue.prefix .. ":" .. name
end

function muster.key_of(queue, kind, id)
  return queue.prefix .. ":" .. kind .. ":" .. id
end

-- Ranks and times are exact integers below 2^53; `..` and tostring keep 14 digits only.
function muster.integer(number)
  return string.format("%.0f", number)
end

-- The store's clock in ms, read once per call.
function muster.now(queue)
  if not queue.now then
    local time = redis.call("TIME")
    queue.now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  end
  return queue.now
end
