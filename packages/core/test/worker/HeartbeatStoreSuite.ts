/** The contract of the heartbeat port, for any layer of it. */
import { assert, it } from "@effect/vitest"
import { HeartbeatStore } from "@muster/core/worker/internal/HeartbeatStore"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { WorkerId } from "@muster/core/worker/Worker"
import { DateTime, Duration, Effect, Option } from "effect"
import { beatAll, emptied, ids, insertAll, type RegistryUnderTest } from "./registryFixtures.ts"

const id = WorkerId.make("worker-1")
const other = WorkerId.make("worker-2")
const stranger = WorkerId.make("stranger")

const ms = DateTime.toEpochMillis

export const suite = <R, E>(name: string, { layer, passTime }: RegistryUnderTest<R, E>) =>
  it.layer(layer, { timeout: "2 minutes" })(`HeartbeatStore (${name})`, (it) => {
    const scenario = <A, E2>(what: string, body: Effect.Effect<A, E2, WorkerRepository | HeartbeatStore | R>) =>
      it.effect(what, () => Effect.andThen(emptied, body))

    scenario(
      "knows no beat of a worker that never beat",
      Effect.gen(function* () {
        const heartbeats = yield* HeartbeatStore
        yield* insertAll([id])
        for (const which of [id, stranger]) {
          assert.isTrue(Option.isNone(yield* heartbeats.last(which)))
          assert.deepStrictEqual(yield* heartbeats.history(which, 10), [])
        }
        assert.strictEqual((yield* heartbeats.lastOf([id, stranger])).size, 0)
        assert.strictEqual((yield* heartbeats.lastOf([])).size, 0)
      })
    )

    scenario(
      "records a beat, and changes no state by it",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const heartbeats = yield* HeartbeatStore
        yield* insertAll([id])
        const before = yield* workers.find(id)
        yield* heartbeats.record(id)
        const last = Option.getOrThrow(yield* heartbeats.last(id))
        assert.deepStrictEqual(yield* heartbeats.history(id, 10), [last])
        assert.deepStrictEqual(yield* workers.find(id), before)
      })
    )

    scenario(
      "refuses the beat of an unknown worker, and of no other",
      Effect.gen(function* () {
        const heartbeats = yield* HeartbeatStore
        const known = ids("worker", 50)
        const unknown = ids("stranger", 50)
        yield* insertAll(known)
        const [, refused] = yield* Effect.partition([...known, ...unknown, ...unknown, ...known], heartbeats.record, {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(
          refused.map((error) => [error._tag, error.id]),
          [...unknown, ...unknown].map((which) => ["WorkerNotFound", which])
        )
        assert.sameMembers([...(yield* heartbeats.lastOf([...known, ...unknown])).keys()], [...known])
      })
    )

    scenario(
      "records beats of one worker that come at once",
      Effect.gen(function* () {
        const heartbeats = yield* HeartbeatStore
        yield* insertAll([id])
        yield* Effect.replicateEffect(heartbeats.record(id), 100, { concurrency: "unbounded", discard: true })
        assert.isTrue(Option.isSome(yield* heartbeats.last(id)))
        assert.isNotEmpty(yield* heartbeats.history(id, 1_000))
      })
    )

    scenario(
      "tells the last beat of each worker",
      Effect.gen(function* () {
        const heartbeats = yield* HeartbeatStore
        yield* insertAll([id, other])
        yield* beatAll([id])
        yield* passTime("10 seconds")
        yield* beatAll([id, other])
        yield* passTime("10 seconds")
        yield* beatAll([other])
        const last = yield* heartbeats.lastOf([id, other, stranger])
        assert.strictEqual(last.size, 2)
        assert.deepStrictEqual(last.get(id), Option.getOrUndefined(yield* heartbeats.last(id)))
        assert.isAtLeast(ms(last.get(other)!) - ms(last.get(id)!), 10_000)
      })
    )

    scenario(
      "tells the newest beats first, up to a limit",
      Effect.gen(function* () {
        const heartbeats = yield* HeartbeatStore
        yield* insertAll([id, other])
        for (let beat = 0; beat < 5; beat++) {
          yield* heartbeats.record(id)
          yield* passTime("10 seconds")
        }
        yield* heartbeats.record(other)
        const history = yield* heartbeats.history(id, 100)
        assert.lengthOf(history, 5)
        assert.deepStrictEqual(Option.some(history[0]), yield* heartbeats.last(id))
        for (const [at, beat] of history.slice(1).entries()) assert.isAtLeast(ms(history[at]!) - ms(beat), 10_000)
        for (const limit of [0, 1, 2, 5]) {
          assert.deepStrictEqual(yield* heartbeats.history(id, limit), history.slice(0, limit))
        }
        assert.lengthOf(yield* heartbeats.history(other, 100), 1)
      })
    )

    scenario(
      "forgets old beats, and of each worker not the last",
      Effect.gen(function* () {
        const heartbeats = yield* HeartbeatStore
        yield* insertAll([id, other])
        for (let beat = 0; beat < 3; beat++) yield* beatAll([id, other])
        yield* passTime("1 hour")
        for (let beat = 0; beat < 2; beat++) yield* beatAll([id])
        const before = yield* heartbeats.lastOf([id, other])
        assert.strictEqual(yield* heartbeats.prune(Duration.hours(2)), 0)
        assert.strictEqual(yield* heartbeats.prune(Duration.minutes(30)), 3 + 2)
        assert.strictEqual(yield* heartbeats.prune(Duration.minutes(30)), 0)
        assert.lengthOf(yield* heartbeats.history(id, 10), 2)
        assert.lengthOf(yield* heartbeats.history(other, 10), 1)
        assert.deepStrictEqual(yield* heartbeats.lastOf([id, other]), before)
        yield* passTime("2 hours")
        assert.strictEqual(yield* heartbeats.prune(Duration.minutes(30)), 1)
        assert.deepStrictEqual(Option.some((yield* heartbeats.history(other, 10))[0]), yield* heartbeats.last(other))
      })
    )
  })
