/** How long the client of event streams does without a server that is away. */
import { assert, describe, it } from "@effect/vitest"
import { JobId } from "@muster/core/job/Job"
import * as EventStreams from "@muster/http-server/client/EventStreams"
import { type MusterClient, ServerUnreachable } from "@muster/http-server/client/MusterClient"
import { Duration, Effect, Exit, Fiber, Ref, Stream } from "effect"
import { TestClock } from "effect/testing"

const away = new ServerUnreachable({ url: "http://server", reason: "refused", cause: new Error("refused") })

/** A server that each connection of a reader reaches in turn; the last one goes on. */
const clientOf = (...answers: ReadonlyArray<Effect.Effect<Stream.Stream<Uint8Array>, ServerUnreachable>>) =>
  Effect.map(Ref.make(0), (calls) => {
    const ofJob = () =>
      Effect.flatMap(
        Ref.getAndUpdate(calls, (count) => count + 1),
        (call) => answers[Math.min(call, answers.length - 1)] ?? Effect.fail(away)
      )
    return { client: { events: { ofJob } } as unknown as MusterClient, calls }
  })

/** Says that it lives, every 15 s, and is cut off after so many of them. */
const connection = (pulses: number) =>
  Effect.succeed(
    Stream.range(1, pulses).pipe(
      Stream.mapEffect(() => Effect.as(Effect.sleep("15 seconds"), new TextEncoder().encode(":\n\n")))
    )
  )

const id = JobId.make("job-1")

describe("a reader with a bounded outage", () => {
  it.effect("counts the outage from where the server was heard last, not from when it connected", () =>
    Effect.gen(function* () {
      const { calls, client } = yield* clientOf(connection(40), Effect.fail(away))
      const watching = yield* Effect.forkChild(
        Effect.exit(Stream.runDrain(EventStreams.watch(client, id, { outage: Duration.minutes(5) })))
      )
      // Ten minutes of a connection that is well, and four without a server.
      yield* TestClock.adjust("14 minutes")
      assert.isAbove(yield* Ref.get(calls), 10)
      assert.isUndefined(watching.pollUnsafe())
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(yield* Fiber.join(watching), Exit.fail(away))
    })
  )
})
