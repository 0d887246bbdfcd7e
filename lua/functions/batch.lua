-- luacheck: globals muster
-- Makes many calls in one go, in this order and each for itself: what one of them refuses changes nothing for the
-- others. `batch` is for what must pass when memory is short, `batch_submits` for what must not.
--
-- KEYS  the queue's prefix
-- ARGV  version, then for each kind of call: name, how many calls there are, how many arguments each has without the
--       version, and those arguments
-- returns  the reply of each call in turn; {"failed", reason} for one that could not be run

local function run_all(queue, args)
  local replies, at, last = {}, 2, #args
  while at <= last do
    local name, calls, length = args[at], tonumber(args[at + 1]), tonumber(args[at + 2])
    local operation, prepare = muster.operations[name], muster.preparations[name]
    at = at + 3
    if prepare then prepare(queue, args, at, calls, length) end
    for _ = 1, calls do
      local ran, reply = pcall(operation, queue, args, at, length)
      replies[#replies + 1] = ran and reply or { "failed", type(reply) == "table" and reply.err or tostring(reply) }
      at = at + length
    end
  end
  return replies
end

muster.register("batch", { "allow-oom" }, run_all)
muster.register("batch_submits", {}, run_all)
