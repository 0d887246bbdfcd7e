-- luacheck: globals muster
-- Settling: which classes match which signatures. These functions say what has to be compared and take the outcomes;
-- any process may take any step, and one that was taken already changes nothing.

-- KEYS  the queue's prefix
-- ARGV  version, id, text of the capabilities, machine ("" = not part of it), then the customers and workflows it names
--       as "customer:…" and "workflow:…"
-- returns  the signature's number; it must be settled before its workers may claim
muster.register("create_signature", { "allow-oom" }, function(queue, args)
  local names, first_name = {}, 5
  if not args[4] then error({ err = "ERR bad arguments" }, 0) end
  for i = first_name, #args do names[#names + 1] = args[i] end
  local known = muster.signature(queue, args[2])
  return known or muster.create_signature(queue, args[2], args[3], args[4], names)
end)

-- ARGV  version, signature
-- returns  {"ready"}, {"gone"}, {"again"}, or {"compare", from, upto, {class, service_required, requirements,
--          customer, workflow}…}
muster.register("signature_step", { "allow-oom" }, function(queue, args)
  return muster.signature_step(queue, args[2])
end)

-- ARGV  version, signature, from, upto, then the classes that match
-- returns  {"ok"}
muster.register("signature_outcome", { "allow-oom" }, function(queue, args)
  local classes, first_class = {}, 5
  for i = first_class, #args do classes[#classes + 1] = args[i] end
  muster.signature_outcome(queue, args[2], args[3], args[4], classes)
  return { "ok" }
end)

-- ARGV  version, after (a signature)
-- returns  {upto, newest, {{signature, text, machine}…}}
muster.register("signatures_after", { "no-writes", "allow-oom" }, function(queue, args)
  return muster.signatures_after(queue, args[2])
end)

-- ARGV  version, class
-- returns  {"ready"}, {"gone"}, or {"compare", from, upto, service_required, requirements, customer, workflow}
muster.register("class_step", { "allow-oom" }, function(queue, args)
  return muster.class_step(queue, args[2])
end)

-- ARGV  version, class, from, upto, machines it names (a line each), then the signatures that match
-- returns  {"ok"}
muster.register("class_outcome", { "allow-oom" }, function(queue, args)
  local signatures, first_signature = {}, 6
  for i = first_signature, #args do signatures[#signatures + 1] = args[i] end
  muster.class_outcome(queue, args[2], args[3], args[4], args[5], signatures)
  return { "ok" }
end)

-- ARGV  version, audience
-- returns  {"ready"} or {"again"}
muster.register("audience_step", { "allow-oom" }, function(queue, args)
  return muster.audience_step(queue, args[2])
end)
