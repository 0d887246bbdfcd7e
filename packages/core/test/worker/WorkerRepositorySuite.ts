/** The contract of the registry port, for any layer of it. */
import { assert, it } from "@effect/vitest"
import { HeartbeatStore } from "@muster/core/worker/internal/HeartbeatStore"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { WorkerId } from "@muster/core/worker/Worker"
import { Array, DateTime, Duration, Effect, Option } from "effect"
import { activeFleet, beatAll, emptied, ids, insertAll, type RegistryUnderTest, worker } from "./registryFixtures.ts"

const timeout = Duration.seconds(60)
const brake = { fleetFrom: 5, silence: Duration.seconds(30) }
const id = WorkerId.make("worker-1")
const unless = { aliveWithin: timeout, gone: null }

const ms = DateTime.toEpochMillis

const stored = Effect.fnUntraced(function* (which: WorkerId) {
  const workers = yield* WorkerRepository
  return Option.getOrThrow(yield* workers.find(which))
})

const statusOf = (which: WorkerId) => Effect.map(stored(which), ({ status }) => status)

export const suite = <R, E>(name: string, { layer, passTime }: RegistryUnderTest<R, E>) =>
  it.layer(layer, { timeout: "2 minutes" })(`WorkerRepository (${name})`, (it) => {
    const scenario = <A, E2>(what: string, body: Effect.Effect<A, E2, WorkerRepository | HeartbeatStore | R>) =>
      it.effect(what, () => Effect.andThen(emptied, body))

    scenario(
      "stores a worker as pending",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const offer = worker("worker-1", {
          capacity: 4,
          capabilities: {
            job_types: ["a", "b"],
            hardware: { gpu_count: 1, ram_gb: 0.5 },
            labels: { x: true, y: [1, "z"] }
          },
          machine_id: "box",
          worker_type: "comfyui",
          process_name: "redis-worker-comfyui-0",
          instance_id: "run-1",
          unhealthy_job_types: ["b"],
          connectors: [
            {
              name: "TestConnector",
              status: "error",
              since: DateTime.makeUnsafe("2026-03-01T12:00:00.123Z"),
              reason: "ServiceUnavailable: \u0000 away",
              job_types: ["b"]
            }
          ]
        })
        const inserted = yield* workers.insert(offer)
        assert.deepInclude(inserted, { ...offer, status: "pending" })
        assert.deepStrictEqual(inserted.status_changed_at, inserted.registered_at)
        assert.deepStrictEqual(yield* stored(id), inserted)
      })
    )

    scenario(
      "finds none where none is",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        assert.isTrue(Option.isNone(yield* workers.find(id)))
        assert.isTrue(Option.isNone(yield* workers.move(id, "pending", "active")))
        assert.isFalse(yield* workers.remove(id))
        assert.deepStrictEqual(yield* workers.list({}), [])
        assert.deepStrictEqual(yield* workers.activatePending, [])
        assert.deepStrictEqual(yield* workers.markStale(timeout, brake), { marked: [], held: null })
        assert.deepStrictEqual(yield* workers.reactivateOffline(timeout), [])
        yield* workers.ping
      })
    )

    scenario(
      "keeps every string and number as it was sent",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const strings = ["", "\u0000", "a\u0000b", "ä € 😀 \u202e", "\ud800", `"'\\\n\t{}`, "$1; --", "x".repeat(256)]
        const capabilities = {
          job_types: ["a"],
          models: [...strings.filter(Boolean), ...Array.makeBy(9_000, (at) => `${at}-${"ü".repeat(250)}`)],
          labels: { label: strings, "l:1": "\u0000", small: 1e-300, exact: 123456789.125, no: false }
        }
        const inserted = yield* workers.insert(worker("worker-1", { capabilities }))
        assert.deepStrictEqual(inserted.capabilities, capabilities)
        assert.deepStrictEqual((yield* stored(id)).capabilities, capabilities)
      })
    )

    scenario(
      "lets exactly one of concurrent inserts win",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const [won, refused] = yield* Effect.partition(
          Array.range(1, 8),
          (capacity) => workers.insert(worker("worker-1", { capacity })),
          { concurrency: "unbounded" }
        )
        assert.lengthOf(refused, 7)
        for (const error of refused) assert.deepInclude(error, { _tag: "WorkerAlreadyExists", id })
        assert.deepStrictEqual([yield* stored(id)], won)
      })
    )

    scenario(
      "does not replace a worker that is not there",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const error = yield* Effect.flip(workers.replace(worker("worker-1", { instance_id: "run-1" }), unless))
        assert.deepInclude(error, { _tag: "WorkerNotFound", id })
      })
    )

    scenario(
      "replaces the offer of the same instance, and leaves its status and times",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        yield* workers.insert(worker("worker-1", { instance_id: "run-1", unhealthy_job_types: ["a"] }))
        yield* beatAll([id])
        yield* workers.activatePending
        const before = yield* stored(id)
        const offer = worker("worker-1", {
          region: "us-2",
          capacity: 7,
          capabilities: { job_types: ["a", "b"] },
          machine_id: "box",
          instance_id: "run-1"
        })
        const replaced = yield* workers.replace(offer, unless)
        assert.deepEqual({ ...replaced }, { ...before, ...offer })
        assert.deepStrictEqual(yield* stored(id), replaced)
      })
    )

    scenario(
      "takes a first instance for the one that registered without a name",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        yield* activeFleet([id])
        const replaced = yield* workers.replace(worker("worker-1", { instance_id: "run-1" }), unless)
        assert.deepInclude(replaced, { status: "active", instance_id: "run-1" })
      })
    )

    scenario(
      "refuses another instance while one lives, and changes nothing",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const heartbeats = yield* HeartbeatStore
        yield* workers.insert(worker("worker-1", { instance_id: "run-1" }))
        yield* beatAll([id])
        yield* passTime("50 seconds")
        const before = yield* stored(id)
        const error = yield* Effect.flip(
          workers.replace(worker("worker-1", { capacity: 9, instance_id: "run-2" }), unless)
        )
        const last_heartbeat_at = Option.getOrThrow(yield* heartbeats.last(id))
        assert.deepInclude(error, { _tag: "LiveTwin", id, instance_id: "run-1", last_heartbeat_at })
        const another = { aliveWithin: timeout, gone: "run-0" }
        const again = yield* Effect.flip(workers.replace(worker("worker-1", { instance_id: "run-2" }), another))
        assert.strictEqual(again._tag, "LiveTwin")
        assert.deepStrictEqual(yield* stored(id), before)
      })
    )

    for (const [death, die, gone] of [
      ["fell silent", passTime("61 seconds"), null],
      ["went offline", Effect.flatMap(WorkerRepository, (workers) => workers.move(id, "active", "offline")), null],
      ["is known to be gone", Effect.void, "run-1"]
    ] as const) {
      scenario(
        `lets another instance start anew once the former ${death}`,
        Effect.gen(function* () {
          const workers = yield* WorkerRepository
          yield* workers.insert(worker("worker-1", { instance_id: "run-1" }))
          yield* beatAll([id])
          yield* workers.activatePending
          yield* passTime("2 seconds")
          yield* die
          const offer = worker("worker-1", { capacity: 9, instance_id: "run-2" })
          const replaced = yield* workers.replace(offer, { aliveWithin: timeout, gone })
          assert.deepInclude(replaced, { ...offer, status: "pending" })
          assert.isAtLeast(ms(replaced.status_changed_at) - ms(replaced.registered_at), 2_000)
          assert.deepStrictEqual(yield* stored(id), replaced)
        })
      )
    }

    scenario(
      "lets another instance start anew when the former never beat",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        yield* workers.insert(worker("worker-1", { instance_id: "run-1" }))
        yield* workers.move(id, "pending", "active")
        const replaced = yield* workers.replace(worker("worker-1", { instance_id: "run-2" }), unless)
        assert.deepInclude(replaced, { status: "pending", instance_id: "run-2" })
      })
    )

    scenario(
      "lists by id, of one status or of all, after an id and up to a limit",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const sorted = ["0", "A", "B:1", "B_1", "a", "a-1", "a.1", "aa", "b@2"]
          .map((one) => WorkerId.make(one))
          .toSorted()
        yield* insertAll(sorted.toReversed())
        const listed = (request: Parameters<typeof workers.list>[0]) =>
          Effect.map(workers.list(request), (found) => found.map((one) => one.id))
        assert.deepStrictEqual(yield* listed({}), sorted)
        for (const [at, after] of sorted.entries()) {
          assert.deepStrictEqual(yield* listed({ after }), sorted.slice(at + 1))
          assert.deepStrictEqual(yield* listed({ after, limit: 2 }), sorted.slice(at + 1, at + 3))
        }
        const [first, second, third] = sorted
        yield* Effect.forEach([first!, third!], (one) => workers.move(one, "pending", "active"))
        assert.deepStrictEqual(yield* listed({ status: "active" }), [first, third])
        assert.deepStrictEqual(yield* listed({ status: "active", after: first }), [third])
        assert.deepStrictEqual(yield* listed({ status: "pending", limit: 1 }), [second])
        assert.deepStrictEqual(yield* listed({ status: "offline" }), [])
        assert.deepStrictEqual(yield* listed({ after: WorkerId.make("aab") }), sorted.slice(-1))
      })
    )

    scenario(
      "removes a worker with its heartbeats, once",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const heartbeats = yield* HeartbeatStore
        const other = WorkerId.make("worker-2")
        yield* insertAll([id, other])
        for (let beat = 0; beat < 3; beat++) yield* beatAll([id, other])
        const removals = yield* Effect.replicateEffect(workers.remove(id), 8, { concurrency: "unbounded" })
        assert.lengthOf(removals.filter(Boolean), 1)
        assert.isTrue(Option.isNone(yield* workers.find(id)))
        assert.strictEqual((yield* Effect.flip(heartbeats.record(id)))._tag, "WorkerNotFound")
        yield* insertAll([id])
        assert.isTrue(Option.isNone(yield* heartbeats.last(id)))
        assert.deepStrictEqual(yield* heartbeats.history(id, 10), [])
        assert.lengthOf(yield* heartbeats.history(other, 10), 3)
      })
    )

    scenario(
      "leaves no heartbeat of a worker that was removed while it beat",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const heartbeats = yield* HeartbeatStore
        for (let round = 0; round < 25; round++) {
          yield* insertAll([id])
          yield* beatAll([id])
          const beats = Effect.replicateEffect(Effect.exit(heartbeats.record(id)), 20)
          yield* Effect.all([beats, Effect.andThen(heartbeats.record(id), workers.remove(id)), beats], {
            concurrency: "unbounded"
          })
          yield* insertAll([id])
          assert.deepStrictEqual(yield* heartbeats.history(id, 100), [])
          yield* workers.remove(id)
        }
      })
    )

    scenario(
      "moves a worker when it is where the caller believes it",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        yield* insertAll([id])
        yield* passTime("10 seconds")
        assert.isTrue(Option.isNone(yield* workers.move(id, "offline", "active")))
        assert.strictEqual(yield* statusOf(id), "pending")
        const moved = Option.getOrThrow(yield* workers.move(id, "pending", "offline"))
        assert.deepInclude(moved, { id, status: "offline" })
        assert.isAtLeast(ms(moved.status_changed_at) - ms(moved.registered_at), 10_000)
        assert.deepStrictEqual(yield* stored(id), moved)
      })
    )

    scenario(
      "lets exactly one of concurrent moves win",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        yield* insertAll([id])
        const moves = yield* Effect.replicateEffect(workers.move(id, "pending", "active"), 8, {
          concurrency: "unbounded"
        })
        assert.lengthOf(moves.filter(Option.isSome), 1)
      })
    )

    scenario(
      "keeps what an operator wants of a worker, whatever becomes of its offer",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const inserted = yield* workers.insert(worker("worker-1", { instance_id: "run-1" }))
        assert.strictEqual(inserted.standing, "open")
        const paused = Option.getOrThrow(yield* workers.setStanding(id, "paused"))
        assert.deepEqual({ ...paused }, { ...inserted, standing: "paused" })
        assert.deepStrictEqual(yield* stored(id), paused)
        const replaced = yield* workers.replace(worker("worker-1", { capacity: 9, instance_id: "run-2" }), unless)
        assert.deepInclude(replaced, { standing: "paused", capacity: 9 })
        assert.deepInclude(Option.getOrThrow(yield* workers.move(id, "pending", "active")), { standing: "paused" })
        assert.deepInclude((yield* workers.list({ status: "active" }))[0], { standing: "paused" })
        yield* workers.remove(id)
        assert.isTrue(Option.isNone(yield* workers.setStanding(id, "paused")))
        assert.strictEqual((yield* workers.insert(worker("worker-1"))).standing, "open")
      })
    )

    scenario(
      "tells the standing of workers that are asked about, and of all that are not open",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const [one, two, three, four] = ids("worker", 4)
        assert.strictEqual((yield* workers.standings([])).size, 0)
        yield* insertAll(ids("worker", 4))
        yield* workers.setStanding(two!, "paused")
        yield* workers.setStanding(three!, "draining")
        const notOpen: ReadonlyArray<[WorkerId, string]> = [
          [two!, "paused"],
          [three!, "draining"]
        ]
        const standings = (which: ReadonlyArray<WorkerId>) =>
          Effect.map(workers.standings(which), (found) => [...found].toSorted())
        assert.deepEqual(yield* standings([]), notOpen)
        assert.deepEqual(yield* standings([one!, two!, id]), [[one!, "open"], ...notOpen])
        yield* workers.setStanding(two!, "open")
        yield* workers.remove(three!)
        assert.deepEqual(yield* standings([]), [])
        assert.deepEqual(yield* standings([three!, four!]), [[four!, "open"]])
      })
    )
  })
