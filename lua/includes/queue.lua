-- luacheck: globals muster
-- What every function gets: the queue it was called for, with its keys and the time.

-- Items one call may look at, change or hand out; about 20 us each.
muster.bound = 40
-- Of what is cheap, submits and jobs given out: about 10 us each.
muster.cheap_bound = 64
-- Bytes of payloads and results after which a reply ends.
muster.reply_bytes = 4 * 1024 * 1024

-- What can be called as part of a batch, by name: what runs one call, or as many as there are.
muster.operations, muster.often = {}, {}

-- Registers `muster_1_<name>`. `run` gets the queue and ARGV; ARGV[1] is the library version the caller was built
-- with, so that a server whose library was replaced by an older one notices and loads its own again.
--
-- A call that leaves classes or audiences to be settled answers {"unsettled", {name…}, reply}: the caller settles them
-- at once, and any tick does when it dies before.
function muster.register(name, flags, run)
  muster.operations[name] = function(queue, args, first, length)
    return run(queue, { args[1], unpack(args, first, first + length - 1) })
  end
  redis.register_function({
    function_name = "muster_1_" .. name,
    flags = flags,
    callback = function(keys, args)
      if tonumber(args[1]) > muster.version then
        return redis.error_reply("OUTDATED the function library is older than the caller")
      end
      local queue = { prefix = keys[1] }
      local ran, reply = pcall(run, queue, args)
      muster.write_pending(queue)
      if not ran then return redis.error_reply(type(reply) == "table" and reply.err or tostring(reply)) end
      if queue.unsettled then return { "unsettled", queue.unsettled, reply } end
      return reply
    end
  })
end

-- What `run` answers; {"failed", reason} when it fails.
function muster.try(run, ...)
  local ran, reply = pcall(run, ...)
  return ran and reply or { "failed", type(reply) == "table" and reply.err or tostring(reply) }
end

-- Registers what comes often, and many at a time. `run` gets all the arguments there are, where those of the first
-- call begin, how many calls there are and how many arguments each has, and adds an answer for each to the last list it
-- gets. It goes through them in one loop that calls little: for one job, each call of a function and each text that is
-- made costs as much as a part of a command. What is unusual is left to `muster.try`.
function muster.register_often(name, flags, run)
  muster.register(name, flags, function(queue, args)
    local replies = {}
    run(queue, args, 2, 1, #args - 1, replies)
    local reply = replies[1]
    if type(reply) == "table" and reply[1] == "failed" then error({ err = reply[2] }, 0) end
    return reply
  end)
  muster.often[name] = run
end

-- The one place that spells keys. The prefix is KEYS[1] and carries the hash tag: `{muster:<queue>}`.
--   meta                 hash: priority_step_ms, last_tick, reap_from; counters: sequence, classes,
--                        signatures, audiences; of the log: log (its name), trimmed (a position), log_bytes,
--                        relayed:<source> (a number); archiving ("1" for good, once there is an archive)
--   log                  stream: what happened, one entry for each call that changed something (see events.lua)
--   jobs                 sorted set: id by sequence, every job there is
--   scheduled            sorted set: id by the time it is due
--   expiring             sorted set: id by expires_at, of jobs that wait
--   leases               sorted set: id by the time the lease ends
--   held:<worker>        hash: ids of the jobs the worker holds → the inbox of the process that claimed it
--   finished             sorted set: id by finished_at, of ended jobs that are not in the archive
--   archived             sorted set: the same of those that are
--   failed               sorted set: id by sequence, of jobs that failed
--   job:<id>             string: all that is known of a job but the following (see job.lua)
--   request:<id>         string: the canonical text of its request; empty when it is long
--   large:<id>           string: then, that text
--   result:<id>          string: the text of its result, once completed, when it is long
--   attempts:<id>        list: attempts that ended while the job went on
--   late:<id>            list: reports that came too late
-- Classes and signatures, numbered in the order of their birth (see class.lua, signature.lua, heads.lua):
--   classes              hash: key → class
--   class_order          sorted set: class by its number
--   class_check          sorted set: class by the time it is next looked at
--   class:<class>        hash: key, service_required, requirements, customer, workflow, born, settled, machines,
--                        audience, front
--   line:<class>         sorted set: member (see muster.member) of each waiting job by rank
--   audiences            hash: key (of its signatures) → audience (see audience.lua)
--   audience_order       sorted set: audience by its number
--   audience:<audience>  hash: key, classes (how many)
--   match:<audience>     sorted set: each signature in it by the rank of the head it holds, +inf without one
--   fronts:<audience>    sorted set: the heads of its classes by rank
--   signatures           hash: id → signature, with "-" in front while it must not claim yet, "?" while it
--                        is doubted that anybody uses it
--   signature_order      sorted set: signature by its number
--   signature_use        sorted set: signature by a time it was used, brought up to date when it is long ago
--   signature:<signature> hash: id, text, machine, born, settled, refiled, names, forgotten_by
--   refile:<signature>   list: names whose jobs have to be filed anew first
--   heads:<signature>    sorted set: the heads of its audiences by rank
--   dying                set: signature that is being forgotten
--   settling             set: "c<class>", "s<signature>" and "a<audience>" that wait to be settled
--   named                hash: "customer:…", "workflow:…", "machine:…" → how many signatures or classes name it
--   by:<name>            sorted set: id by sequence, of the waiting jobs of a customer or workflow
-- Workers that look for work (see idle.lua):
--   workers              hash: worker → what is known of one that does not run at full load
--   idle:<signature>     sorted set: "<worker> <inbox> <token>" of those parked by time
--   idle_signatures      sorted set: signature that has parked workers, by the time of the first one
--   wakes                sorted set: woken worker by time
--   standing             hash: worker → standing, when it is not open
--   gone                 sorted set: unregistered worker by time
--   inbox:<inbox>        list: what a process is told
-- Most calls are for few queues: the keys that do not depend on a job are spelled once for each.
local spelled, spelled_count, spelled_bound = {}, 0, 10000

function muster.key(queue, name)
  local keys = queue.keys
  if not keys then
    keys = spelled[queue.prefix] or {}
    spelled[queue.prefix], queue.keys = keys, keys
  end
  local key = keys[name]
  if not key then
    key = queue.prefix .. ":" .. name
    keys[name] = key
    spelled_count = spelled_count + 1
    if spelled_count > spelled_bound then spelled, spelled_count = {}, 0 end
  end
  return key
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
    queue.micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
    queue.now = math.floor(queue.micros / 1000)
  end
  return queue.now
end

function muster.now_text(queue)
  queue.now_text = queue.now_text or muster.integer(muster.now(queue))
  return queue.now_text
end
