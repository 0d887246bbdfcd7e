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
    local often, operation = muster.often[name], muster.operations[name]
    at = at + 3
    if often then
      local expected = #replies + calls
      local failed = muster.try(often, queue, args, at, calls, length, replies)
      for n = #replies + 1, expected do replies[n] = failed end
      at = at + calls * length
    else
      for _ = 1, calls do
        replies[#replies + 1] = muster.try(operation, queue, args, at, length)
        at = at + length
      end
    end
  end
  return replies
end

muster.register("batch", { "allow-oom" }, run_all)
muster.register("batch_submits", {}, run_all)
