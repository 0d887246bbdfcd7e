/** The contract of the registry's outbox, and the relay that empties it. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Layer, Option } from "effect"
import type { NewEvent } from "@muster/core/event/Event"
import { EventLog } from "@muster/core/event/internal/EventLog"
import * as MemoryEventLog from "@muster/core/event/internal/MemoryEventLog"
import * as Relay from "@muster/core/event/Relay"
import { WorkerOutbox } from "@muster/core/worker/internal/WorkerOutbox"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { WorkerId } from "@muster/core/worker/Worker"
import { beatAll, ids, insertAll, type RegistryUnderTest, worker } from "./registryFixtures.ts"

const short = ({ machine_id, standing, type, worker_id, worker_status }: NewEvent) =>
  [type, worker_id, machine_id, worker_status ?? standing].filter((part) => part !== undefined).join(" ")

/** All there is, taken out. */
const drained = Effect.gen(function* () {
  const outbox = yield* WorkerOutbox
  const found: Array<NewEvent> = []
  for (let page = yield* outbox.read; Option.isSome(page); page = yield* outbox.read) {
    found.push(...page.value.events)
    yield* outbox.forget(page.value)
  }
  return found
})

/** Each test has a registry of its own, from which nobody has read yet. */
export const suite = <R, E>(name: string, { layer, passTime }: RegistryUnderTest<R | WorkerOutbox, E>): void => {
  const all = Layer.merge(layer, MemoryEventLog.layer)
  const test = (title: string, body: Effect.Effect<unknown, unknown, Layer.Success<typeof all>>) =>
    // From the first look on, what happens is written down.
    it.effect(title, () => Effect.provide(Effect.andThen(drained, body), all, { local: true }))

  describe(`WorkerOutbox (${name})`, () => {
    test(
      "has each change of a worker once, in order, and nothing that changes nothing",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const id = WorkerId.make("w1")
        const unless = { aliveWithin: Duration.minutes(1), gone: null }
        const offer = worker("w1", { machine_id: "m1", instance_id: "i1" })
        yield* workers.insert(offer)
        yield* Effect.exit(workers.insert(offer))
        yield* workers.replace(offer, unless)
        yield* workers.replace({ ...offer, capacity: 2 }, unless)
        yield* workers.move(id, "pending", "active")
        yield* workers.move(id, "pending", "active")
        yield* workers.setStanding(id, "paused")
        yield* workers.setStanding(id, "paused")
        yield* workers.setStanding(id, "open")
        yield* workers.remove(id)
        yield* workers.remove(id)
        assert.deepStrictEqual((yield* drained).map(short), [
          "worker.registered w1 m1 pending",
          "worker.updated w1 m1",
          "worker.status w1 m1 active",
          "worker.standing w1 m1 paused",
          "worker.standing w1 m1 open",
          "worker.unregistered w1 m1"
        ])
        assert.deepStrictEqual(yield* drained, [])
      })
    )

    test(
      "has an event for each worker that a check moves",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const fleet = ids("fleet", 25)
        yield* insertAll(fleet)
        yield* beatAll(fleet)
        yield* drained
        yield* workers.activatePending
        yield* workers.activatePending
        yield* passTime("2 minutes")
        yield* workers.markStale(Duration.minutes(1), null)
        const found = (yield* drained).map(short)
        const expected = ["active", "offline"].flatMap((status) => fleet.map((id) => `worker.status ${id} ${status}`))
        assert.sameMembers(found, expected)
        const last = found.slice(25)
        assert.isTrue(last.every((event) => event.endsWith("offline")))
      })
    )

    test(
      "gives the same page until it is forgotten",
      Effect.gen(function* () {
        const outbox = yield* WorkerOutbox
        yield* insertAll(ids("a", 3))
        const first = Option.getOrThrow(yield* outbox.read)
        yield* insertAll(ids("b", 3))
        assert.deepStrictEqual(Option.getOrThrow(yield* outbox.read), first)
        yield* outbox.forget({ source: first.source, number: first.number - 1 })
        yield* outbox.forget({ source: "another", number: first.number })
        assert.deepStrictEqual(Option.getOrThrow(yield* outbox.read), first)
        yield* outbox.forget(first)
        yield* outbox.forget(first)
        const second = Option.getOrThrow(yield* outbox.read)
        assert.strictEqual(second.number, first.number + 3)
        assert.isTrue(second.events.every(({ worker_id }) => String(worker_id).startsWith("b")))
      })
    )

    test(
      "is relayed exactly once, by several at the same time, one of which dies between adding and forgetting",
      Effect.gen(function* () {
        const log = yield* EventLog
        const outbox = yield* WorkerOutbox
        const from = yield* log.end
        const fleet = ids("relayed", 60)
        const dying = Layer.succeed(WorkerOutbox, { ...outbox, forget: () => Effect.die("killed") })
        for (let at = 0; at < fleet.length; at += 20) {
          yield* insertAll(fleet.slice(at, at + 20))
          assert.isTrue(Exit.isFailure(yield* Effect.exit(Effect.provide(Relay.relay(), dying))))
          yield* Effect.all([Relay.relay(), Relay.relay(), Relay.relay()], { concurrency: "unbounded" })
        }
        const { events } = yield* log.read({ after: from, limit: 1_000 })
        assert.deepStrictEqual(events.map(({ worker_id }) => String(worker_id)).toSorted(), [...fleet].map(String))
      })
    )
  })
}
