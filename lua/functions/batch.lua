-- luacheck: globals muster
-- Calls several functions in one go, in this order and each for itself: what one of them refuses changes nothing for
-- the others. `batch` is for what must pass when memory is short, `batch_submits` for what must not.
--
-- KEYS  the queue's prefix
-- ARGV  version, then for each call: name, count of its arguments, its arguments without the version
-- returns  the reply of each in turn; {"failed", reason} for one that could not be run

local function run_all(queue, args)
  local replies, at, last = {}, 2, #args
  while at <= last do
    local operation, count = muster.operations[args[at]], tonumber(args[at + 1])
    local given = { args[1], unpack(args, at + 2, at + 1 + count) }
    local ran, reply = pcall(operation, queue, given)
    replies[#replies + 1] = ran and reply or { "failed", type(reply) == "table" and reply.err or tostring(reply) }
    at = at + 2 + count
  end
  return replies
end

muster.register("batch", { "allow-oom" }, run_all)
muster.register("batch_submits", {}, run_all)
