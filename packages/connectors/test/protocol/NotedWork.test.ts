/** Work that is paid for: what is noted of it, and what becomes of it. */
import * as NotedWork from "@muster/connectors/protocol/NotedWork"
import { AssetFailed, AssetStore } from "@muster/core/connector/AssetStore"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { JobId } from "@muster/core/job/Job"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Option } from "effect"

const away = new AssetFailed({ detail: "the disk is away", cause: undefined })
const unknown = new ConnectorFailure({ kind: "InvalidPayload", message: "no such work" })

/** A store of notes, of which each part can fail. */
const notes = (over: { readonly note?: AssetFailed; readonly noted?: AssetFailed } = {}) => {
  const kept = new Map<string, string>()
  const store = {
    note: (job: string, name: string, words: string) =>
      over.note === undefined ? Effect.sync(() => void kept.set(`${job} ${name}`, words)) : Effect.fail(over.note),
    noted: (job: string, name: string) =>
      over.noted === undefined
        ? Effect.sync(() => Option.fromUndefinedOr(kept.get(`${job} ${name}`)))
        : Effect.fail(over.noted)
  }
  return { kept, store: AssetStore.of(store as unknown as typeof AssetStore.Service) }
}

interface Work {
  readonly id: string
  readonly status: "running" | "done" | "broken"
}

const service = (over: Partial<Parameters<typeof NotedWork.make<Work, void, ConnectorFailure, never>>[0]> = {}) => {
  const works = new Map<string, Work>()
  const cancelled: Array<string> = []
  const run = (attempt: number) =>
    NotedWork.make<Work, void, ConnectorFailure, never>({
      job: { id: JobId.make("j"), attempt },
      key: "key",
      what: "work",
      prepare: Effect.void,
      submit: () =>
        Effect.sync(() => {
          const work: Work = { id: `w-${works.size + 1}`, status: "done" }
          works.set(work.id, work)
          return work
        }),
      retrieve: (id) =>
        Effect.suspend(() => Effect.fromOption(Option.fromUndefinedOr(works.get(id)))).pipe(
          Effect.mapError(() => unknown)
        ),
      cancel: (id) => Effect.sync(() => void cancelled.push(id)),
      ending: (work) => {
        if (work.status === "running") return Option.none()
        return Option.some(
          work.status === "done"
            ? Effect.succeed(work)
            : Effect.fail(new ConnectorFailure({ kind: "ServiceUnavailable", message: "broken" }))
        )
      },
      seen: () => Effect.void,
      every: Duration.seconds(1),
      ...over
    })
  return { works, cancelled, run }
}

describe("work that is paid for", () => {
  it.effect("is found by the next attempt, unless it came to nothing or is gone", () =>
    Effect.gen(function* () {
      const { store } = notes()
      const { run, works } = service()
      const again = (attempt: number) =>
        Effect.map(Effect.provideService(run(attempt), AssetStore, store), ({ id }) => id)
      assert.strictEqual(yield* again(1), "w-1")
      assert.strictEqual(yield* again(2), "w-1")
      works.set("w-1", { id: "w-1", status: "broken" })
      assert.strictEqual(yield* again(3), "w-2")
      works.clear()
      assert.deepStrictEqual([yield* again(4), works.size], ["w-1", 1])
    })
  )

  it.effect("goes on although it could not be noted, and is not begun while nobody can tell whether it was", () =>
    Effect.gen(function* () {
      const { run, works } = service()
      yield* Effect.provideService(run(1), AssetStore, notes({ note: away }).store)
      assert.strictEqual(works.size, 1)
      const failure = yield* Effect.flip(Effect.provideService(run(2), AssetStore, notes({ noted: away }).store))
      assert.deepStrictEqual([failure.kind, works.size], ["AssetFailed", 1])
    })
  )

  it.effect("is cancelled when its submit was answered in the moment of an interruption", () =>
    Effect.gen(function* () {
      const answered = yield* Deferred.make<Work>()
      const { cancelled, run } = service({ submit: () => Deferred.await(answered) })
      const work = Effect.provideService(run(1), AssetStore, notes().store)
      const fiber = yield* Effect.forkChild(work, { startImmediately: true })
      const stopping = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      yield* Deferred.succeed<Work, never>(answered, { id: "w-1", status: "running" })
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(cancelled, ["w-1"])
    })
  )

  it.effect("is not submitted when what it needs cannot be had", () =>
    Effect.gen(function* () {
      const { run, works } = service({ prepare: Effect.fail(unknown) })
      const exit = yield* Effect.exit(Effect.provideService(run(1), AssetStore, notes().store))
      assert.deepStrictEqual([Exit.isFailure(exit), works.size], [true, 0])
    })
  )
})
