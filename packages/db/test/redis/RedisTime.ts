/** The time of a queue in Redis: its server's clock. Time passes by moving every time that the queue has stored. */
import { Duration, Effect, Layer } from "effect"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import { Redis } from "@muster/db/redis/Redis"
import { queuePrefix } from "@muster/db/redis/RedisFunctions"
import { StoreTime } from "../../../core/test/job/QueueTest.ts"

/** KEYS: the queue's prefix; ARGV: how many ms everything moves into the past. */
const moveBack = `
local prefix, ms = KEYS[1], tonumber(ARGV[1])
local function move_scores(key)
  for _, member in ipairs(redis.call("ZRANGE", key, 0, -1)) do redis.call("ZINCRBY", key, -ms, member) end
end
local function move_fields(key, fields)
  for _, field in ipairs(fields) do
    local time = tonumber(redis.call("HGET", key, field) or "")
    if time and time ~= 0 then redis.call("HSET", key, field, string.format("%.0f", time - ms)) end
  end
end
local function move_finite(key)
  local found = redis.call("ZRANGE", key, "-inf", "(+inf", "BYSCORE")
  for _, member in ipairs(found) do redis.call("ZINCRBY", key, -ms, member) end
end
local indexes = {
  "scheduled", "expiring", "leases", "finished", "class_check", "signature_use", "idle_signatures", "wakes", "gone"
}
for _, index in ipairs(indexes) do move_scores(prefix .. ":" .. index) end
for _, id in ipairs(redis.call("ZRANGE", prefix .. ":jobs", 0, -1)) do
  local key = prefix .. ":job:" .. id
  move_fields(key, { "assigned_at", "started_at", "finished_at", "expires_at" })
  local born = redis.call("HGET", key, "born")
  if born then
    local sequence, rank, max_retries, created_at, service = string.match(born, "^(%S+) (%S+) (%S+) (%S+) (%S+)$")
    local moved = string.format("%s %.0f %s %.0f %s", sequence, rank - ms, max_retries, created_at - ms, service)
    redis.call("HSET", key, "born", moved)
  end
  local avoided, worker = string.match(redis.call("HGET", key, "avoid") or "", "^(%d+) (.*)$")
  if avoided then redis.call("HSET", key, "avoid", string.format("%.0f", avoided - ms) .. " " .. worker) end
end
for _, class in ipairs(redis.call("ZRANGE", prefix .. ":class_order", 0, -1)) do
  move_scores(prefix .. ":line:" .. class)
  local rank, sequence = string.match(redis.call("HGET", prefix .. ":class:" .. class, "front") or "", "^(%S+) (%S+)$")
  if rank then
    redis.call("HSET", prefix .. ":class:" .. class, "front", string.format("%.0f %s", rank - ms, sequence))
  end
end
for _, audience in ipairs(redis.call("ZRANGE", prefix .. ":audience_order", 0, -1)) do
  move_scores(prefix .. ":fronts:" .. audience)
  move_finite(prefix .. ":match:" .. audience)
end
for _, signature in ipairs(redis.call("ZRANGE", prefix .. ":signature_use", 0, -1)) do
  move_scores(prefix .. ":heads:" .. signature)
  move_scores(prefix .. ":idle:" .. signature)
end
move_fields(prefix .. ":meta", { "last_tick", "reap_from" })
`

export const layer: Layer.Layer<StoreTime, never, Redis> = Layer.effect(
  StoreTime,
  Effect.gen(function* () {
    const redis = yield* Redis
    const { name } = yield* QueueSettings
    const move = (milliseconds: number) =>
      Effect.orDie(redis.send("EVAL", [moveBack, "1", queuePrefix(name), String(milliseconds)]))
    return StoreTime.of({
      now: Effect.orDie(
        Effect.map(redis.send("TIME", []), (reply) => {
          const [seconds, micros] = (reply as ReadonlyArray<string>).map(Number)
          return seconds! * 1_000 + Math.floor(micros! / 1_000)
        })
      ),
      pass: (duration) => move(Duration.toMillis(duration)),
      setBack: (duration) => move(-Duration.toMillis(duration))
    })
  })
)
