-- luacheck: globals muster
-- The version of the library that is loaded. Answers callers of every version.
--
-- KEYS  anything
-- ARGV  none
-- returns  an integer

redis.register_function({
  function_name = "muster_1_version",
  flags = { "no-writes", "allow-oom" },
  callback = function()
    return muster.version
  end
})
