import { assert, describe } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { jobOf } from "../ConnectorSuite.ts"
import { graphOf } from "../doubles/ComfyDouble.ts"
import { live, up, versions } from "./ComfyUp.ts"

/** Numbers that look random and are the same each time. */
const randomOf = (seed: number) => () => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
  return seed / 2 ** 32
}

describe("whatever befalls messages and answers, the end is found and is right", () => {
  for (const version of versions) {
    live(version, () =>
      Effect.gen(function* () {
        for (let seed = 1; seed <= 6; seed++) {
          const random = randomOf(seed * 7_919)
          let hides = 1
          const { double, start, told } = yield* up(
            {
              version,
              speed: 20,
              faults: {
                message: () => {
                  const chance = random()
                  if (chance < 0.25) return []
                  if (chance < 0.4) return [0, Math.floor(random() * 60)]
                  return chance < 0.7 ? [Math.floor(random() * 60)] : [0]
                },
                answer: (path) => {
                  // A prompt that was not taken fails its attempt, and files have their own tries.
                  if (path === "/prompt") return random() < 0.3 ? { delay_ms: 0, breaks: "after" } : { delay_ms: 0 }
                  const mayBreak = !path.startsWith("/view") && random() < 0.1
                  const delay_ms = random() < 0.3 ? Math.floor(random() * 40) : 0
                  return mayBreak ? { delay_ms, breaks: random() < 0.5 ? "before" : "after" } : { delay_ms }
                },
                // Late, but not for ever: a record that stays away is lost.
                hidesPast: () => random() < 0.2 && hides-- > 0
              }
            },
            { COMFYUI_SILENCE_SECONDS: "0.1", COMFYUI_MAX_RETRIES: "3" }
          )
          const cuts = yield* Effect.forkChild(
            Effect.forever(Effect.andThen(Effect.sleep("120 millis"), Effect.sync(double.cut)))
          )
          const good = yield* start(jobOf({ workflow: graphOf(version, "04-progress") }))
          const percents = told.map(({ percent }) => percent)
          assert.deepStrictEqual(
            percents,
            percents.toSorted((one, other) => one - other)
          )
          assert.deepStrictEqual([good.outputs[0]?.node_id, good.assets.length], ["3", 1], `seed ${seed}`)
          const bad = yield* Effect.flip(start(jobOf({ workflow: graphOf(version, "11-runtime-error", 1) })))
          assert.strictEqual(bad.kind, "ResourceExhausted", `seed ${seed}`)
          assert.strictEqual(double.posted.length, 2)
          yield* Fiber.interrupt(cuts)
        }
      })
    )
  }
})
