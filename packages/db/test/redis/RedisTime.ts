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
for _, index in ipairs({ "scheduled", "expiring", "leases", "finished" }) do move_scores(prefix .. ":" .. index) end
local lines = {}
for _, id in ipairs(redis.call("ZRANGE", prefix .. ":jobs", 0, -1)) do
  local key = prefix .. ":job:" .. id
  move_fields(key, { "created_at", "assigned_at", "started_at", "finished_at", "expires_at", "rank" })
  lines[redis.call("HGET", key, "service_required")] = true
end
for line in pairs(lines) do move_scores(prefix .. ":waiting:" .. line) end
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
