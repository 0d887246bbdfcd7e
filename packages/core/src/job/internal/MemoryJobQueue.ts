/**
 * The queue in memory: what `npm start` runs on, and the plain reference every other layer is compared with. Each
 * method is one synchronous step, so the promises of the port hold by construction; nothing outlives the process.
 */
import { Clock, DateTime, Deferred, Duration, Effect, Layer, Option } from "effect"
import { InvalidStateTransition } from "../../InvalidStateTransition.ts"
import { canonical } from "../../Json.ts"
import type { WorkerId } from "../../worker/Worker.ts"
import { canBecome, type Fence, isHeld, Job, type JobId, type JobRequest, type JobStatus } from "../Job.ts"
import { InvalidCursor, JobAlreadyExists, JobNotFound, LeaseLost } from "../JobErrors.ts"
import { QueueSettings } from "../QueueSettings.ts"
import { rank } from "../Rank.ts"
import { JobQueue, refuseDuplicates, type Retry, type Submitted, type TickReport } from "./JobQueue.ts"
import * as WaitingLines from "./WaitingLines.ts"

const tickBound = 100
/** How long `awaitWork` waits at most, and how long when work is waiting that the caller has just not been given. */
const idleWait = Duration.seconds(5)
const fullWait = Duration.millis(50)

interface Entry {
  job: Job
  readonly sequence: number
  readonly rank: number
  /** The canonical text of the request, to recognise a repeated submit. */
  readonly request: string
  nonce: string | null
  /** Which worker holds the job, and until when (ms); null when nobody does. */
  lease: { readonly worker: WorkerId; readonly until: number } | null
  /** How the last attempt ended by its own report, so that repeating the report gets the same answer. */
  ended: "completed" | "failed" | "returned" | null
  /** When a scheduled job is due, in ms. */
  due: number | null
}

type Change = Partial<Omit<ConstructorParameters<typeof Job>[0], "id">>

const make = Effect.gen(function* () {
  const settings = yield* QueueSettings
  const entries = new Map<JobId, Entry>()
  const waiting = WaitingLines.make<Entry>()
  const holds = new Map<WorkerId, Set<Entry>>()
  let sequence = 0
  let lastTick = 0
  let reapFrom = 0
  let arrival = Deferred.makeUnsafe<void>()

  const leaseMs = Duration.toMillis(settings.lease)

  const change = (entry: Entry, changes: Change): void => {
    const { status: from } = entry.job
    if (changes.status !== undefined && !canBecome(from, changes.status)) {
      throw new Error(`bug: job ${entry.job.id} is ${from} and cannot become ${changes.status}`)
    }
    entry.job = new Job({ ...entry.job, ...changes })
  }

  const insertWaiting = (entry: Entry): void => {
    waiting.insert(entry)
    Deferred.doneUnsafe(arrival, Effect.void)
    arrival = Deferred.makeUnsafe<void>()
  }

  const store = (id: JobId, request: JobRequest, text: string, now: number): Entry => {
    const due = request.run_at === null ? 0 : DateTime.toEpochMillis(request.run_at)
    const entry: Entry = {
      job: new Job({
        ...request,
        id,
        status: due > now ? "scheduled" : "pending",
        attempt: 0,
        retry_count: 0,
        worker_id: null,
        progress: null,
        result: null,
        error: null,
        created_at: DateTime.makeUnsafe(now),
        assigned_at: null,
        started_at: null,
        finished_at: null
      }),
      sequence: ++sequence,
      rank: rank(request, now, settings.priorityStep),
      request: text,
      nonce: null,
      lease: null,
      ended: null,
      due: due > now ? due : null
    }
    entries.set(id, entry)
    if (entry.due === null) insertWaiting(entry)
    return entry
  }

  const hold = (entry: Entry, worker: WorkerId, until: number): void => {
    entry.lease = { worker, until }
    holds.set(worker, (holds.get(worker) ?? new Set()).add(entry))
  }

  const letGo = (entry: Entry): void => {
    if (entry.lease === null) return
    const held = holds.get(entry.lease.worker)
    held?.delete(entry)
    if (held?.size === 0) holds.delete(entry.lease.worker)
    entry.lease = null
  }

  const toWaiting = (entry: Entry, now: number, delay: number, changes: Change = {}): void => {
    letGo(entry)
    entry.due = delay > 0 ? now + delay : null
    change(entry, {
      ...changes,
      status: delay > 0 ? "scheduled" : "pending",
      worker_id: null,
      progress: null,
      assigned_at: null,
      started_at: null
    })
    if (delay <= 0) insertWaiting(entry)
  }

  const finish = (entry: Entry, status: JobStatus, now: number, changes: Change): void => {
    if (entry.job.status === "pending") waiting.remove(entry)
    letGo(entry)
    entry.due = null
    change(entry, { ...changes, status, finished_at: DateTime.makeUnsafe(now) })
  }

  const held = (fence: Fence): Entry | undefined => {
    const entry = entries.get(fence.job_id)
    return entry !== undefined &&
      isHeld(entry.job.status) &&
      entry.job.attempt === fence.attempt &&
      entry.nonce === fence.nonce
      ? entry
      : undefined
  }

  const lost = (fence: Fence) => new LeaseLost({ id: fence.job_id, attempt: fence.attempt })

  /** Runs a report of the attempt that holds the job. */
  const report = <A>(fence: Fence, act: (entry: Entry, now: number) => A) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const entry = held(fence)
      return entry === undefined ? Effect.fail(lost(fence)) : Effect.succeed(act(entry, now))
    })

  /** Runs a report that ends the attempt; repeating it gets the first answer. */
  const end = (fence: Fence, ended: Entry["ended"], act: (entry: Entry, now: number) => void) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const entry = held(fence)
      if (entry !== undefined) {
        act(entry, now)
        entry.ended = ended
        return Effect.succeed(entry.job)
      }
      const known = entries.get(fence.job_id)
      return known?.ended === ended && known.nonce === fence.nonce && known.job.attempt === fence.attempt
        ? Effect.succeed(known.job)
        : Effect.fail(lost(fence))
    })

  const failAttempt = (entry: Entry, now: number, error: Job["error"], retry: Retry | null): void => {
    if (retry === null) return finish(entry, "failed", now, { error })
    const spent = retry.usesRetry ? 1 : 0
    toWaiting(entry, now, Duration.toMillis(retry.delay), { error, retry_count: entry.job.retry_count + spent })
  }

  const expired = (entry: Entry, now: number): boolean =>
    entry.job.expires_at !== null && DateTime.toEpochMillis(entry.job.expires_at) <= now

  const expire = (entry: Entry, now: number): void =>
    finish(entry, "expired", now, { error: { kind: "Expired", message: "waited past expires_at" } })

  /** Lets a job that has failed for good start over. */
  const startOver = (entry: Entry, now: number): void => toWaiting(entry, now, 0, { retry_count: 0, finished_at: null })

  const heldByWorker = (worker: WorkerId): ReadonlyArray<Entry> => [...(holds.get(worker) ?? [])]

  const look = (entry: Entry, now: number, found: Found): boolean => {
    const { job } = entry
    if (job.finished_at !== null) {
      if (DateTime.toEpochMillis(job.finished_at) + Duration.toMillis(settings.retention) > now) return false
      entries.delete(job.id)
      found.forgotten++
      return true
    }
    if (!isHeld(job.status)) {
      if (expired(entry, now)) {
        expire(entry, now)
        found.expired.push(job.id)
        return true
      }
      if (entry.due === null || entry.due > now) return false
      entry.due = null
      change(entry, { status: "pending" })
      insertWaiting(entry)
      found.promoted.push(job.id)
      return true
    }
    if (entry.lease === null || entry.lease.until > now || now < reapFrom) return false
    const retry = job.retry_count < job.max_retries ? { delay: Duration.zero, usesRetry: true } : null
    failAttempt(entry, now, { kind: "Lost", message: `worker ${entry.lease.worker} stopped renewing its lease` }, retry)
    found.lost.push(job.id)
    return true
  }

  return JobQueue.of({
    submit: (id, request) =>
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now): Effect.Effect<{ readonly job: Job; readonly created: boolean }, JobAlreadyExists> => {
          const text = canonical(request)
          const known = entries.get(id)
          if (known === undefined) return Effect.succeed({ job: store(id, request, text, now).job, created: true })
          return known.request === text
            ? Effect.succeed({ job: known.job, created: false })
            : Effect.fail(new JobAlreadyExists({ id }))
        }
      ),

    submitMany: (jobs) =>
      Effect.flatMap(
        Effect.andThen(refuseDuplicates(jobs), Clock.currentTimeMillis),
        (now): Effect.Effect<ReadonlyArray<Submitted>, JobAlreadyExists> => {
          const batch = jobs.map((job) => ({ ...job, text: canonical(job.request), known: entries.get(job.id) }))
          const taken = batch.find(({ known, text }) => known !== undefined && known.request !== text)
          if (taken !== undefined) return Effect.fail(new JobAlreadyExists({ id: taken.id }))
          return Effect.succeed(
            batch.map(({ id, known, request, text }) => {
              if (known === undefined) store(id, request, text, now)
              return { id, created: known === undefined }
            })
          )
        }
      ),

    claim: ({ again, capacity, job_types, limit, nonce, worker_id }) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const given = again === true ? heldByWorker(worker_id).filter((entry) => entry.nonce === nonce) : []
        if (given.length > 0) return given.map(({ job }) => job)
        const free = Math.min(limit, capacity - heldByWorker(worker_id).length)
        const claimed: Array<Job> = []
        while (claimed.length < free) {
          const head = waiting.next(job_types)
          if (head === undefined) break
          if (expired(head, now)) {
            expire(head, now)
            continue
          }
          waiting.remove(head)
          head.nonce = nonce
          head.ended = null
          hold(head, worker_id, now + leaseMs)
          change(head, {
            status: "assigned",
            attempt: head.job.attempt + 1,
            worker_id,
            assigned_at: DateTime.makeUnsafe(now)
          })
          claimed.push(head.job)
        }
        return claimed
      }),

    awaitWork: (jobTypes) =>
      Effect.suspend(() =>
        waiting.next(jobTypes) !== undefined
          ? Effect.sleep(fullWait)
          : Effect.ignore(Effect.timeout(Deferred.await(arrival), idleWait))
      ),

    start: (fence) =>
      report(fence, (entry, now) => {
        if (canBecome(entry.job.status, "processing")) {
          change(entry, { status: "processing", started_at: DateTime.makeUnsafe(now) })
        }
      }),

    progress: (fence, progress) => report(fence, (entry) => change(entry, { progress })),

    complete: (fence, result) =>
      end(fence, "completed", (entry, now) => finish(entry, "completed", now, { result, error: null })),

    fail: (fence, error, retry) => end(fence, "failed", (entry, now) => failAttempt(entry, now, error, retry)),

    giveBack: (fence) => Effect.asVoid(end(fence, "returned", (entry, now) => toWaiting(entry, now, 0))),

    renew: (fences) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        fences.filter((fence) => {
          const entry = held(fence)
          if (entry?.lease == null) return true
          entry.lease = { worker: entry.lease.worker, until: now + leaseMs }
          return false
        })
      ),

    cancel: (id) =>
      Effect.flatMap(Clock.currentTimeMillis, (now): Effect.Effect<Job, JobNotFound | InvalidStateTransition> => {
        const entry = entries.get(id)
        if (entry === undefined) return Effect.fail(new JobNotFound({ id }))
        const { status } = entry.job
        if (status === "cancelled") return Effect.succeed(entry.job)
        if (!canBecome(status, "cancelled")) {
          return Effect.fail(new InvalidStateTransition({ subject: "job", id, from: status, to: "cancelled" }))
        }
        finish(entry, "cancelled", now, {})
        return Effect.succeed(entry.job)
      }),

    retry: (id) =>
      Effect.flatMap(Clock.currentTimeMillis, (now): Effect.Effect<Job, JobNotFound | InvalidStateTransition> => {
        const entry = entries.get(id)
        if (entry === undefined) return Effect.fail(new JobNotFound({ id }))
        const { status } = entry.job
        if (status !== "failed") {
          return Effect.fail(new InvalidStateTransition({ subject: "job", id, from: status, to: "pending" }))
        }
        startOver(entry, now)
        return Effect.succeed(entry.job)
      }),

    retryFailed: ({ error_kind, service_required }) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const meant = [...entries.values()].filter(
          ({ job }) =>
            job.status === "failed" &&
            (service_required === undefined || job.service_required === service_required) &&
            (error_kind === undefined || job.error?.kind === error_kind)
        )
        for (const entry of meant) startOver(entry, now)
        return meant.length
      }),

    get: (id) => Effect.sync(() => Option.map(Option.fromUndefinedOr(entries.get(id)), ({ job }) => job)),

    list: ({ cursor, limit, service_required, status }) =>
      Effect.suspend(() => {
        const before = cursor === undefined ? Infinity : Number(cursor)
        if (cursor !== undefined && !/^[0-9]{1,16}$/.test(cursor)) return Effect.fail(new InvalidCursor({ cursor }))
        const found = [...entries.values()]
          .filter(
            (entry) =>
              entry.sequence < before &&
              (status === undefined || entry.job.status === status) &&
              (service_required === undefined || entry.job.service_required === service_required)
          )
          .toSorted((a, b) => b.sequence - a.sequence)
        const page = found.slice(0, limit)
        return Effect.succeed({
          jobs: page.map(({ job }) => job),
          next_cursor: found.length > limit ? String(page.at(-1)?.sequence) : null
        })
      }),

    heldBy: (workers) =>
      Effect.sync(() => new Map(workers.map((id) => [id, heldByWorker(id).map(({ job }) => job.id)]))),

    giveBackAll: (worker) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        heldByWorker(worker).map((entry) => {
          toWaiting(entry, now, 0)
          return entry.job.id
        })
      ),

    tick: Effect.map(Clock.currentTimeMillis, (now): TickReport => {
      const gap = lastTick > 0 && Math.abs(now - lastTick) > 2 * Duration.toMillis(settings.tickInterval)
      // A clock that was set back must not leave a floor in its former future.
      reapFrom = gap ? now + leaseMs : Math.min(reapFrom, now + leaseMs)
      lastTick = now
      const found: Found = { promoted: [], expired: [], lost: [], forgotten: 0 }
      let changes = 0
      for (const entry of [...entries.values()]) {
        if (changes === tickBound) break
        if (look(entry, now, found)) changes++
      }
      return { ...found, more: changes === tickBound }
    }),

    ping: Effect.void
  })
})

interface Found {
  readonly promoted: Array<JobId>
  readonly expired: Array<JobId>
  readonly lost: Array<JobId>
  forgotten: number
}

export const layer: Layer.Layer<JobQueue> = Layer.effect(JobQueue, make)
