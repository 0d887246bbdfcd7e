/** The contract of the registry port about groups of workers, for any layer of it. */
import { assert, it } from "@effect/vitest"
import { HeartbeatStore } from "@muster/core/worker/internal/HeartbeatStore"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { WorkerId } from "@muster/core/worker/Worker"
import type { WorkerGlimpse, WorkerGroup } from "@muster/core/worker/WorkerGroup"
import { DateTime, Duration, Effect } from "effect"
import { beatAll, type RegistryUnderTest, worker } from "./registryFixtures.ts"

const unless = { aliveWithin: Duration.seconds(60), gone: null }

/** A group in one line: what it offers, how it is, how many. */
const said = ({ capabilities, standing, status, unhealthy_job_types, workers }: WorkerGroup): string =>
  [
    capabilities.job_types.join("+"),
    ...(capabilities.labels?.["machine_id"] === undefined ? [] : [`on ${String(capabilities.labels["machine_id"])}`]),
    status,
    standing,
    ...unhealthy_job_types.map((type) => `!${type}`),
    String(workers)
  ].join(" ")

const nameOf = ({ id }: WorkerGlimpse): string => id

const idOf = WorkerId.make

/** The groups whose workers accept one of these types; the store is shared by tests, and remembers those of others. */
const groupsOf = (prefix: string, machines: ReadonlyArray<string> = []) =>
  Effect.gen(function* () {
    const workers = yield* WorkerRepository
    const found = yield* workers.groups({ machines })
    return found.filter(({ capabilities }) => capabilities.job_types.some((type) => type.startsWith(prefix)))
  })

const linesOf = (prefix: string, machines: ReadonlyArray<string> = []) =>
  Effect.map(groupsOf(prefix, machines), (groups) => groups.map(said).toSorted())

export const suite = <R, E>(name: string, { layer, passTime }: RegistryUnderTest<R, E>) =>
  it.layer(layer, { timeout: "2 minutes" })(`Groups of workers (${name})`, (it) => {
    it.effect("tell kinds, statuses, standings and health apart, and nothing else", () =>
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const stored = (id: string, over: Parameters<typeof worker>[1] = {}) =>
          workers.insert(worker(`a-${id}`, { capabilities: { job_types: ["a1", "a2"] }, ...over }))
        yield* stored("1", { region: "us", capacity: 7, machine_id: "m" })
        yield* stored("2", { capabilities: { job_types: ["a2", "a1"], labels: { machine_id: "m-2" } } })
        yield* stored("3", { unhealthy_job_types: ["a2", "a1"] })
        yield* stored("4", { unhealthy_job_types: ["a1", "a2"] })
        yield* stored("5")
        yield* stored("6")
        yield* stored("7", { capabilities: { job_types: ["a1"] } })
        yield* workers.move(idOf("a-5"), "pending", "active")
        yield* workers.setStanding(idOf("a-6"), "paused")
        assert.deepStrictEqual(yield* linesOf("a"), [
          "a1 pending open 1",
          "a1+a2 active open 1",
          "a1+a2 pending open !a1 !a2 2",
          "a1+a2 pending open 2",
          "a1+a2 pending paused 1"
        ])
        // What this layer has done is counted at once.
        yield* workers.setStanding(idOf("a-6"), "open")
        yield* workers.move(idOf("a-5"), "active", "offline")
        yield* workers.replace(worker("a-7", { capabilities: { job_types: ["a1", "a2"] } }), unless)
        assert.deepStrictEqual(yield* linesOf("a"), [
          "a1+a2 offline open 1",
          "a1+a2 pending open !a1 !a2 2",
          "a1+a2 pending open 4"
        ])
      })
    )

    it.effect("keep workers apart that are on a machine that was asked about", () =>
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        for (const [id, machine_id] of [
          ["b-1", "m-1"],
          ["b-2", "m-1"],
          ["b-3", "m-2"]
        ] as const) {
          yield* workers.insert(worker(id, { capabilities: { job_types: ["b"], labels: { machine_id } } }))
        }
        yield* workers.insert(worker("b-4", { capabilities: { job_types: ["b"] } }))
        yield* workers.setStanding(idOf("b-2"), "draining")
        assert.deepStrictEqual(yield* linesOf("b"), ["b pending draining 1", "b pending open 3"])
        assert.deepStrictEqual(yield* linesOf("b", ["m-1", "elsewhere\u0000"]), [
          "b on m-1 pending draining 1",
          "b on m-1 pending open 1",
          "b pending open 2"
        ])
        const groups = yield* groupsOf("b", ["m-1"])
        const others = groups.filter(({ machine }) => machine === null)
        const glimpses = (wanted: ReadonlyArray<WorkerGroup>, limit: number) =>
          workers.glimpses(
            ["m-1"],
            wanted.map((group) => ({ ...group, limit }))
          )
        assert.deepStrictEqual((yield* glimpses(others, 9)).map(nameOf).toSorted(), ["b-3", "b-4"])
        assert.deepStrictEqual((yield* glimpses(groups, 9)).map(nameOf).toSorted(), ["b-1", "b-2", "b-3", "b-4"])
        assert.lengthOf(yield* glimpses(others, 1), 1)
        assert.deepStrictEqual(yield* glimpses([], 9), [])
      })
    )

    it.effect("remember for a day who was unregistered", () =>
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const heartbeats = yield* HeartbeatStore
        yield* workers.insert(worker("c-1", { capabilities: { job_types: ["c"], labels: { machine_id: "m-1" } } }))
        yield* workers.insert(worker("c-2", { capabilities: { job_types: ["c"] }, capacity: 3, machine_id: "box" }))
        yield* beatAll([idOf("c-2")])
        const [beat] = yield* heartbeats.history(idOf("c-2"), 1)
        yield* workers.setStanding(idOf("c-2"), "paused")
        yield* workers.remove(idOf("c-2"))
        assert.deepStrictEqual(yield* linesOf("c"), ["c gone open 1", "c pending open 1"])
        const gone = (yield* groupsOf("c")).filter(({ status }) => status === "gone")
        const [glimpse] = yield* workers.glimpses(
          [],
          gone.map((group) => ({ ...group, limit: 5 }))
        )
        assert.deepInclude(glimpse!, {
          id: idOf("c-2"),
          status: "gone",
          standing: "open",
          capacity: 3,
          machine_id: "box",
          last_heartbeat_at: beat!
        })
        assert.isTrue(DateTime.isGreaterThanOrEqualTo(glimpse!.status_changed_at, beat!))

        // Who comes back is not gone, and goes again.
        yield* workers.insert(worker("c-2", { capabilities: { job_types: ["c"] } }))
        assert.deepStrictEqual(yield* linesOf("c"), ["c pending open 2"])
        yield* workers.remove(idOf("c-2"))
        yield* passTime("23 hours")
        yield* workers.remove(idOf("c-1"))
        assert.deepStrictEqual(yield* linesOf("c"), ["c gone open 2"])
        assert.deepStrictEqual(yield* linesOf("c", ["m-1"]), ["c gone open 1", "c on m-1 gone open 1"])
        yield* passTime("2 hours")
        assert.deepStrictEqual(yield* linesOf("c"), ["c gone open 1"])
      })
    )

    it.effect("show workers as they are now", () =>
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        yield* workers.insert(worker("d-1", { capabilities: { job_types: ["d"] } }))
        const wanted = (yield* groupsOf("d")).map((group) => ({ ...group, limit: 3 }))
        const [glimpse] = yield* workers.glimpses([], wanted)
        assert.deepInclude(glimpse, { id: idOf("d-1"), status: "pending", capacity: 1, last_heartbeat_at: null })
        yield* workers.setStanding(idOf("d-1"), "paused")
        assert.deepStrictEqual(yield* workers.glimpses([], wanted), [])
        assert.deepStrictEqual(yield* workers.glimpses([], [{ ...wanted[0]!, kind: "unknown" }]), [])
      })
    )

    it.effect("are counted anew for who asks for it", () =>
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        for (let round = 0; round < 10; round++) {
          const type = `e${round}.`
          const asked = Effect.map(workers.groups({ machines: [], fresh: true }), (groups) =>
            groups.filter(({ capabilities }) => capabilities.job_types.includes(type))
          )
          const stored = workers.insert(worker(`e-${round}`, { capabilities: { job_types: [type] } }))
          const [found] = yield* Effect.all([Effect.andThen(stored, asked), asked, asked], { concurrency: "unbounded" })
          assert.lengthOf(found, 1)
        }
      })
    )
  })
