/** What tests of explanations share: a fleet in words, and the answer for a job. */
import * as Explanation from "@muster/core/job/Explanation"
import type { Place } from "@muster/core/job/internal/JobQueue"
import { asSubmitted, type Job, JobId, type JobRequest, request } from "@muster/core/job/Job"
import { type Capabilities, WorkerId } from "@muster/core/worker/Worker"
import { type GroupId, textOf, type WorkerGlimpse, type WorkerGroup } from "@muster/core/worker/WorkerGroup"
import { DateTime } from "effect"

export const now = DateTime.makeUnsafe("2026-03-01T12:00:00Z")
export const ago = (seconds: number) => DateTime.subtract(now, { seconds })
export const later = (seconds: number) => DateTime.add(now, { seconds })

export const job = (said: Partial<JobRequest> = {}, over: Partial<Job> = {}): Job => ({
  ...asSubmitted(JobId.make("j-1"), request({ service_required: "render", ...said }), "pending", ago(10)),
  ...over
})

export const waiting: Place = { ahead: 0, at_least: false, due_at: null, avoids: null }

/** Workers of one kind; how many jobs each holds decides whether it has room for another. */
export interface Kind {
  readonly ids: ReadonlyArray<string>
  readonly offer?: Partial<Capabilities>
  readonly status?: GroupId["status"]
  readonly standing?: GroupId["standing"]
  readonly unhealthy?: ReadonlyArray<string>
  readonly connectors?: WorkerGlimpse["connectors"]
  readonly capacity?: number
  readonly holds?: number
  readonly machine_id?: string
  readonly last_heartbeat_at?: DateTime.Utc | null
  /** When it came to its status. */
  readonly since?: DateTime.Utc
}

const groupOf = (kind: Kind, at: number): WorkerGroup => ({
  kind: `kind-${at}`,
  machine: null,
  status: kind.status ?? "active",
  standing: kind.standing ?? "open",
  unhealthy_job_types: kind.unhealthy ?? [],
  capabilities: { job_types: ["render"], ...kind.offer },
  workers: kind.ids.length
})

const glimpseOf = (kind: Kind, group: WorkerGroup, id: string): WorkerGlimpse => ({
  kind: group.kind,
  machine: group.machine,
  status: group.status,
  standing: group.standing,
  unhealthy_job_types: group.unhealthy_job_types,
  id: WorkerId.make(id),
  capacity: kind.capacity ?? 1,
  machine_id: kind.machine_id ?? null,
  last_heartbeat_at: kind.last_heartbeat_at === undefined ? ago(5) : kind.last_heartbeat_at,
  status_changed_at: kind.since ?? ago(3_600),
  connectors: kind.connectors ?? []
})

/** Explains as the use case does, with stores that answer at once. */
export const explain = (options: {
  readonly job?: Job
  readonly place?: Partial<Place>
  readonly fleet: ReadonlyArray<Kind>
  readonly limit?: number
  readonly startable?: ReadonlyArray<string>
}): Explanation.Explanation => {
  const { fleet, job: asked = job(), limit = 20, startable = [] } = options
  const groups = fleet.map(groupOf)
  const sight = Explanation.sight(asked, groups, limit)
  const limits = new Map(sight.wanted.map((group) => [textOf(group), group.limit]))
  const seen = fleet.flatMap((kind, at) => {
    const group = groups[at]!
    return kind.ids
      .slice(0, limits.get(textOf(group)) ?? 0)
      .map((id) => ({ kind, glimpse: glimpseOf(kind, group, id) }))
  })
  const glimpses = seen.map(({ glimpse }) => glimpse)
  const counted = new Set(Explanation.mayBeFree(sight, glimpses))
  const holds = new Map(
    seen.flatMap(({ glimpse, kind }) => (counted.has(glimpse.id) ? [[glimpse.id, kind.holds ?? 0] as const] : []))
  )
  return Explanation.explainWaiting({
    job: asked,
    place: { ...waiting, ...options.place },
    sight,
    glimpses,
    holds,
    now,
    limit,
    startable
  })
}
