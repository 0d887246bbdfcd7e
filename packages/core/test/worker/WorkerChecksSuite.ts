/** The contract of the registry's checks (activation, stale detection, reactivation), for any layer of its ports. */
import { assert, it } from "@effect/vitest"
import { HeartbeatStore } from "@muster/core/worker/internal/HeartbeatStore"
import { type BrakeRule, WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { WorkerId, type WorkerStatus } from "@muster/core/worker/Worker"
import { Duration, Effect } from "effect"
import { activeFleet, beatAll, emptied, ids, insertAll, type RegistryUnderTest, worker } from "./registryFixtures.ts"

const timeout = Duration.seconds(60)
const brake: BrakeRule = { fleetFrom: 5, silence: Duration.seconds(30) }
const [one, two, three] = [WorkerId.make("worker-1"), WorkerId.make("worker-2"), WorkerId.make("worker-3")]

const idsOf = Effect.fnUntraced(function* (status: WorkerStatus) {
  const workers = yield* WorkerRepository
  return (yield* workers.list({ status })).map((one) => one.id)
})

/** What several servers report whose checks coincide. */
const fourTimes = <E, R>(check: Effect.Effect<ReadonlyArray<WorkerId>, E, R>) =>
  Effect.replicateEffect(check, 4, { concurrency: "unbounded" }).pipe(
    Effect.map((reports) => reports.flat().toSorted())
  )

export const suite = <R, E>(name: string, { layer, passTime }: RegistryUnderTest<R, E>) =>
  it.layer(layer, { timeout: "2 minutes" })(`Checks of the registry (${name})`, (it) => {
    const scenario = <A, E2>(what: string, body: Effect.Effect<A, E2, WorkerRepository | HeartbeatStore | R>) =>
      it.effect(what, () => Effect.andThen(emptied, body))

    scenario(
      "activates pending workers that have beaten",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const [beating, silent, offline] = [one, two, three]
        yield* insertAll([beating, silent, offline])
        yield* workers.move(offline, "pending", "offline")
        yield* beatAll([beating, offline])
        assert.deepStrictEqual(yield* workers.activatePending, [beating])
        assert.deepStrictEqual(yield* idsOf("pending"), [silent])
        assert.deepStrictEqual(yield* idsOf("active"), [beating])
        assert.deepStrictEqual(yield* idsOf("offline"), [offline])
        assert.deepStrictEqual(yield* workers.activatePending, [])
      })
    )

    scenario(
      "does not take the beats of a former instance for those of its successor",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        yield* workers.insert(worker(one, { instance_id: "run-1" }))
        yield* beatAll([one])
        yield* passTime("2 minutes")
        yield* workers.replace(worker(one, { instance_id: "run-2" }), { aliveWithin: timeout, gone: null })
        assert.deepStrictEqual(yield* workers.activatePending, [])
        yield* passTime("1 second")
        yield* beatAll([one])
        assert.deepStrictEqual(yield* workers.activatePending, [one])
      })
    )

    scenario(
      "marks active workers offline that were silent for the timeout",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const [silent, beating, pending] = [one, two, three]
        yield* activeFleet([silent, beating])
        yield* insertAll([pending])
        yield* passTime("50 seconds")
        assert.deepStrictEqual(yield* workers.markStale(timeout, null), { marked: [], held: null })
        yield* beatAll([beating])
        yield* passTime("11 seconds")
        assert.deepStrictEqual(yield* workers.markStale(timeout, null), { marked: [silent], held: null })
        assert.deepStrictEqual(yield* idsOf("offline"), [silent])
        assert.deepStrictEqual(yield* idsOf("active"), [beating])
        assert.deepStrictEqual(yield* idsOf("pending"), [pending])
        assert.deepStrictEqual(yield* workers.markStale(timeout, null), { marked: [], held: null })
      })
    )

    scenario(
      "counts the silence of a worker that never beat from its activation",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        yield* insertAll([one])
        yield* passTime("100 seconds")
        yield* workers.move(one, "pending", "active")
        yield* passTime("50 seconds")
        assert.deepStrictEqual((yield* workers.markStale(timeout, null)).marked, [])
        yield* passTime("11 seconds")
        assert.deepStrictEqual((yield* workers.markStale(timeout, null)).marked, [one])
      })
    )

    scenario(
      "brings back offline workers that beat since they went offline, within the timeout",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const [back, silent, late] = [one, two, three]
        yield* activeFleet([back, silent, late])
        yield* passTime("1 second")
        yield* Effect.forEach([back, silent, late], (which) => workers.move(which, "active", "offline"))
        // Their last beats are within the timeout, and from before.
        assert.deepStrictEqual(yield* workers.reactivateOffline(timeout), [])
        yield* passTime("1 second")
        yield* beatAll([late])
        yield* passTime("61 seconds")
        yield* beatAll([back])
        assert.deepStrictEqual(yield* workers.reactivateOffline(timeout), [back])
        assert.deepStrictEqual(yield* idsOf("offline"), [silent, late])
        assert.deepStrictEqual(yield* workers.reactivateOffline(timeout), [])
      })
    )

    scenario(
      "holds the brake when most of a fleet falls silent and nobody is heard",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const fleet = ids("worker", 6)
        yield* activeFleet(fleet)
        yield* passTime("61 seconds")
        assert.deepStrictEqual(yield* workers.markStale(timeout, brake), { marked: [], held: 6 })
        assert.deepStrictEqual(yield* workers.markStale(timeout, brake), { marked: [], held: 6 })
        assert.deepStrictEqual(yield* idsOf("active"), fleet)
        const report = yield* workers.markStale(timeout, null)
        assert.deepStrictEqual([report.marked.toSorted(), report.held], [fleet, null])
      })
    )

    scenario(
      "holds the brake for a fleet that never beat",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const fleet = ids("worker", 5)
        yield* insertAll(fleet)
        yield* Effect.forEach(fleet, (one) => workers.move(one, "pending", "active"))
        yield* passTime("61 seconds")
        assert.deepStrictEqual(yield* workers.markStale(timeout, brake), { marked: [], held: 5 })
      })
    )

    scenario(
      "does not hold the brake for a small fleet",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const fleet = ids("worker", 4)
        yield* activeFleet(fleet)
        yield* passTime("61 seconds")
        const report = yield* workers.markStale(timeout, brake)
        assert.deepStrictEqual([report.marked.toSorted(), report.held], [fleet, null])
      })
    )

    for (const [silent, what] of [
      [3, "does not hold the brake for half of a fleet"],
      [4, "holds the brake for more than half of a fleet"]
    ] as const) {
      scenario(
        what,
        Effect.gen(function* () {
          const workers = yield* WorkerRepository
          const fleet = ids("worker", 6)
          yield* activeFleet(fleet)
          yield* passTime("21 seconds")
          yield* beatAll(fleet.slice(silent))
          yield* passTime("40 seconds")
          const report = yield* workers.markStale(timeout, brake)
          const expected = silent === 3 ? [fleet.slice(0, 3), null] : [[], 4]
          assert.deepStrictEqual([report.marked.toSorted(), report.held], expected)
        })
      )
    }

    scenario(
      "does not hold the brake when anybody at all is heard",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const fleet = ids("worker", 6)
        yield* activeFleet(fleet)
        yield* insertAll([WorkerId.make("newcomer")])
        yield* passTime("61 seconds")
        yield* beatAll([WorkerId.make("newcomer")])
        const report = yield* workers.markStale(timeout, brake)
        assert.deepStrictEqual([report.marked.toSorted(), report.held], [fleet, null])
      })
    )

    scenario(
      "reports each worker once, however many checks coincide",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const fleet = ids("worker", 40)
        yield* insertAll(fleet)
        yield* beatAll(fleet)
        assert.deepStrictEqual(yield* fourTimes(workers.activatePending), fleet)
        yield* passTime("61 seconds")
        const stale = Effect.map(workers.markStale(timeout, null), ({ marked }) => marked)
        assert.deepStrictEqual(yield* fourTimes(stale), fleet)
        yield* passTime("1 second")
        yield* beatAll(fleet)
        assert.deepStrictEqual(yield* fourTimes(workers.reactivateOffline(timeout)), fleet)
        assert.deepStrictEqual(yield* idsOf("active"), fleet)
      })
    )
  })
