/**
 * The work of the simulated services: steps over time, inside this process. It is bounded: so much work at once, and so
 * much of the past is remembered. Work about which nobody asks any more makes room when room is needed.
 */
import { Clock, Duration, Effect, FiberMap, Schema, type Scope, Stream, SubscriptionRef } from "effect"
import { hasEnded, type Work, type WorkRequest } from "./WorkMessages.ts"

/** No more work is taken on now. */
export class Full extends Schema.TaggedError<Full>("@muster/connectors/simulation/SimulatedWork/Full")("Full", {}) {
  override get message() {
    return "as much work as may run is running"
  }
}

export interface WorkSettings {
  /** Work that may go on at once; 1000 by default. */
  readonly mostRunning?: number | undefined
  /** Ended work that is remembered; 1000 by default. */
  readonly mostEnded?: number | undefined
  /** Work that nobody watches, or has asked about, for so long gives way to new work; 10 minutes by default. */
  readonly forgottenAfter?: Duration.Duration | undefined
}

export interface SimulatedWork {
  /** Takes on work, or finds work of the same id, whatever was asked of it. */
  readonly submit: (id: string, request: WorkRequest) => Effect.Effect<Work, Full>
  readonly look: (id: string) => Effect.Effect<Work | undefined>
  /** How it is now, and every change of it, to its end. */
  readonly watch: (id: string) => Stream.Stream<Work> | undefined
  /** Stops work that has not ended. */
  readonly cancel: (id: string) => Effect.Effect<Work | undefined>
  readonly requestOf: (id: string) => WorkRequest | undefined
  /** How much work goes on. */
  readonly running: () => number
}

interface Entry {
  readonly request: WorkRequest
  readonly state: SubscriptionRef.SubscriptionRef<Work>
  askedAt: number
  watchers: number
}

const usualDuration = 1_000
const usualSteps = 10

/** Work for as long as the scope; its end ends all of it. */
export const make = Effect.fnUntraced(function* (
  settings: WorkSettings = {}
): Effect.fn.Return<SimulatedWork, never, Scope.Scope> {
  const { forgottenAfter = Duration.minutes(10), mostEnded = 1_000, mostRunning = 1_000 } = settings
  const running = new Map<string, Entry>()
  const ended = new Map<string, Entry>()
  const fibers = yield* FiberMap.make<string>()

  const change = (entry: Entry, patch: Partial<Work>) =>
    SubscriptionRef.update(entry.state, (work) => ({ ...work, ...patch }))

  const end = (id: string, entry: Entry, patch: Partial<Work>) =>
    Effect.suspend(() => {
      running.delete(id)
      ended.set(id, entry)
      const [oldest] = ended.keys()
      if (ended.size > mostEnded && oldest !== undefined) ended.delete(oldest)
      return change(entry, patch)
    })

  const work = Effect.fnUntraced(function* (id: string, entry: Entry, total_steps: number) {
    const { delay_ms = 0, duration_ms = usualDuration, fail = false, hang = false } = entry.request
    const half = Math.ceil(total_steps / 2)
    yield* Effect.sleep(Duration.millis(delay_ms))
    yield* change(entry, { status: "running" })
    for (let step = 1; step <= total_steps; step++) {
      yield* Effect.sleep(Duration.millis(duration_ms / total_steps))
      if (hang && step > half) return yield* Effect.never
      if (fail !== false && step >= half) {
        const kind = fail === true ? "ServiceUnavailable" : fail
        return yield* end(id, entry, {
          status: "failed",
          error: { kind, message: `simulated failure at step ${step}` }
        })
      }
      yield* change(entry, { step })
    }
    yield* end(id, entry, { status: "completed", result: { simulated: true, duration_ms, steps: total_steps } })
  })

  const cancel = Effect.fnUntraced(function* (id: string) {
    const entry = running.get(id)
    if (entry === undefined) return ended.get(id)?.state.value
    yield* FiberMap.remove(fibers, id)
    if (!hasEnded(SubscriptionRef.getUnsafe(entry.state))) yield* end(id, entry, { status: "cancelled" })
    return SubscriptionRef.getUnsafe(entry.state)
  })

  const makeRoom = Effect.fnUntraced(function* (now: number) {
    const since = now - Duration.toMillis(forgottenAfter)
    const forgotten = [...running].filter(([, { askedAt, watchers }]) => watchers === 0 && askedAt < since)
    yield* Effect.forEach(forgotten, ([id]) => cancel(id), { discard: true })
  })

  const find = (id: string, now: number) => {
    const entry = running.get(id) ?? ended.get(id)
    if (entry !== undefined) entry.askedAt = now
    return entry
  }

  return {
    submit: Effect.fnUntraced(function* (id, request) {
      const now = yield* Clock.currentTimeMillis
      const known = find(id, now)
      if (known !== undefined) return SubscriptionRef.getUnsafe(known.state)
      if (running.size >= mostRunning) yield* makeRoom(now)
      if (running.size >= mostRunning) return yield* new Full()
      const total_steps = request.steps ?? usualSteps
      const first: Work = { id, status: "queued", step: 0, total_steps }
      const entry: Entry = { request, state: yield* SubscriptionRef.make(first), askedAt: now, watchers: 0 }
      running.set(id, entry)
      yield* FiberMap.run(fibers, id, work(id, entry, total_steps))
      return first
    }),

    look: (id) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const entry = find(id, now)
        return entry === undefined ? undefined : SubscriptionRef.getUnsafe(entry.state)
      }),

    watch: (id) => {
      const entry = running.get(id) ?? ended.get(id)
      if (entry === undefined) return undefined
      return Stream.suspend(() => {
        entry.watchers++
        return SubscriptionRef.changes(entry.state).pipe(
          Stream.takeUntil(hasEnded),
          Stream.ensuring(Effect.sync(() => entry.watchers--))
        )
      })
    },

    cancel,
    requestOf: (id) => (running.get(id) ?? ended.get(id))?.request,
    running: () => running.size
  }
})
