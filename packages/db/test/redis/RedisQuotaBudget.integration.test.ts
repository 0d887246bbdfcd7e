import * as Allowances from "@muster/core/connector/internal/Allowances"
import { QuotaBudget } from "@muster/core/connector/QuotaBudget"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import * as RedisQuotaBudget from "@muster/db/redis/RedisQuotaBudget"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Duration, Effect, Layer, Redacted, Schema } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { inject } from "vitest"
import { startRedis } from "../../../../tools/servers/testServers.ts"
import { aBudget, suite } from "../../../core/test/connector/QuotaBudgetSuite.ts"
import { eventually, redisCli } from "./OwnRedis.ts"

const layerOn = (url: string) =>
  RedisQuotaBudget.layer.pipe(Layer.provide(RedisFunctions.layer), Layer.provideMerge(Redis.layer(Redacted.make(url))))

/** Moves every time that a budget has into the past. */
const moveBack = `
for field, by in pairs({ paused_until = 60000, changed_at = 60000, minute = 1 }) do
  local time = tonumber(redis.call("HGET", KEYS[1], field))
  redis.call("HSET", KEYS[1], field, string.format("%.0f", time - by * tonumber(ARGV[1])))
end
`

suite("on Redis", Layer.unwrap(Effect.sync(() => layerOn(inject("redisUrl")))), (budget, minutes) =>
  Effect.flatMap(Redis.Redis, (redis) =>
    redis.send("EVAL", [moveBack, "1", `${RedisQuotaBudget.prefix}:${budget}`, String(minutes)])
  )
)

/** The steps of the library alone, over times that are given. */
const steps = `
local muster = {}
${readFileSync(join(import.meta.dirname, "../../../../lua/includes/quota.lua"), "utf8")}
local budget = {
  per_minute = false, paused_until = 0, changed_at = 0, calm_minutes = 0, minute = 0, taken = 0, taken_before = 0
}
local answers = {}
for _, step in ipairs(cjson.decode(ARGV[1])) do
  muster.quota_current(budget, step.now)
  local wait = muster.quota_wait(budget, step.now)
  if step.what == "take" and wait == 0 then budget.taken = budget.taken + 1 end
  if step.what == "refuse" then muster.quota_refuse(budget, step.retry_after, step.now) end
  local answer = { string.format("%.0f", wait) }
  for _, field in ipairs(muster.quota_fields) do
    answer[#answer + 1] = budget[field] and string.format("%.0f", budget[field]) or ""
  end
  answers[#answers + 1] = table.concat(answer, " ")
end
return answers
`

interface Step {
  readonly what: "take" | "refuse" | "look"
  readonly now: number
  readonly retry_after: number | false
}

const asMemory = (given: ReadonlyArray<Step>): ReadonlyArray<string> => {
  let budget = Allowances.unlimited
  return given.map(({ now, retry_after, what }) => {
    budget = Allowances.current(budget, now)
    const wait = Allowances.waitFor(budget, now)
    if (what === "take" && wait === 0) budget = Allowances.take(budget)
    if (what === "refuse") budget = Allowances.refuse(budget, retry_after === false ? null : retry_after, now)
    const { calm_minutes, changed_at, minute, paused_until, per_minute, taken, taken_before } = budget
    return [wait, per_minute ?? "", paused_until, changed_at, calm_minutes, minute, taken, taken_before].join(" ")
  })
}

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const AStep = Schema.Struct({
  what: Schema.Literals(["take", "refuse", "look"]),
  times: between(1, 30),
  after: Schema.Union([between(-5_000, 2_000), between(0, 240_000)]),
  retryAfter: Schema.Union([Schema.Literal(false), between(0, 200_000), Schema.Literal(9_000_000)])
})
const redisOfTheRun = Layer.unwrap(Effect.sync(() => Redis.layer(Redacted.make(inject("redisUrl")))))

describe("budgets on Redis", () => {
  it.live.prop(
    "take the same steps as those in memory",
    { run: Arbitrary.array(Arbitrary.schema(AStep), { minLength: 1, maxLength: 30 }) },
    ({ run }) =>
      Effect.gen(function* () {
        const redis = yield* Redis.Redis
        let now = 1_800_000_000_000
        const given = run.flatMap(({ after, retryAfter, times, what }) => {
          now += after
          return Array.from({ length: times }, (): Step => ({ what, now, retry_after: retryAfter }))
        })
        const answers = yield* redis.send("EVAL", [steps, "0", JSON.stringify(given)])
        assert.deepStrictEqual(answers, asMemory(given))
      }).pipe(Effect.provide(redisOfTheRun)),
    { timeout: 300_000, arbitrary: { runs: 300 } }
  )

  it.live("are shared by processes, and forgotten when they matter no more", () =>
    Effect.gen(function* () {
      const budget = aBudget()
      const use = <A, E>(body: (quota: QuotaBudget["Service"]) => Effect.Effect<A, E>) =>
        Effect.flatMap(QuotaBudget, body).pipe(Effect.provide(Layer.fresh(layerOn(inject("redisUrl")))))
      yield* use((quota) => Effect.replicateEffect(quota.take(budget), 10))
      const key = `${RedisQuotaBudget.prefix}:${budget}`
      const unlimitedFor = Number(yield* redisCli(inject("redisUrl"), ["PTTL", key]))
      assert.isTrue(unlimitedFor > 0 && unlimitedFor <= 120_000)
      yield* use((quota) => quota.refused(budget, Duration.seconds(20)))
      const spent = yield* use((quota) => Effect.flip(quota.take(budget)))
      assert.isAbove(spent.retry_after_ms, 10_000)
      const limitedFor = Number(yield* redisCli(inject("redisUrl"), ["PTTL", key]))
      assert.isTrue(limitedFor > 11 * 60_000 && limitedFor <= 13 * 60_000 + 20_000)
    })
  )

  it.live(
    "a Redis that is away stops no call; each process goes by what it was told itself",
    () =>
      Effect.gen(function* () {
        const server = yield* startRedis()
        yield* Effect.gen(function* () {
          const quota = yield* QuotaBudget
          const [budget, other] = [aBudget(), aBudget()]
          yield* Effect.replicateEffect(quota.take(budget), 10)
          yield* quota.refused(budget, Duration.seconds(50))
          yield* server.kill
          assert.isAbove((yield* Effect.flip(quota.take(budget))).retry_after_ms, 30_000)
          yield* quota.take(other)
          yield* quota.refused(other, Duration.seconds(50))
          assert.isAbove((yield* quota.allowance(other)).paused_ms, 30_000)
          yield* server.restart
          // Redis has not heard of the refusal that came while it was away.
          yield* eventually(Effect.retry(quota.take(other), { times: 0 }))
        }).pipe(Effect.provide(layerOn(server.url)))
      }),
    120_000
  )

  it.live(
    "a Redis that hangs holds a call up for a second, not longer",
    () =>
      Effect.gen(function* () {
        const server = yield* startRedis()
        yield* Effect.gen(function* () {
          const quota = yield* QuotaBudget
          yield* quota.take("b")
          yield* server.pause
          const [waited] = yield* Effect.timed(quota.take("b"))
          assert.isBelow(Duration.toMillis(waited), 4_500)
          yield* server.resume
        }).pipe(Effect.provide(layerOn(server.url)))
      }),
    120_000
  )
})
