/** The workers of the registry in memory by groups, those that were unregistered lately among them. */
import { DateTime, Duration } from "effect"
import { onMachine, signatureOf } from "../CapabilitySignature.ts"
import type { Capabilities, Worker, WorkerId } from "../Worker.ts"
import { type GroupId, rememberedAtMost, rememberedFor, type WorkerGlimpse, type WorkerGroup } from "../WorkerGroup.ts"
import type { Wanted } from "./WorkerRepository.ts"

/** All workers of one kind share it. */
interface Kind {
  readonly name: string
  readonly text: string
  /** What they offer, without the machine. */
  readonly offer: Capabilities
  /** How many workers are of it, gone ones included. */
  workers: number
}

interface Placed {
  readonly kind: Kind
  readonly machine: string
}

/** What is remembered of a worker, registered or gone. */
interface Known {
  readonly worker: Worker
  readonly beats: ReadonlyArray<number>
}

interface Gone extends Known, Placed {
  /** When it was unregistered, in ms. */
  readonly at: number
}

const remembered = Duration.toMillis(Duration.fromInputUnsafe(rememberedFor))

/** Short, for it is made for every worker at every look. */
const keyOf = ({ kind, machine, standing, status, unhealthy_job_types: types }: GroupId): string =>
  `${kind} ${status} ${standing} ${types.length} ${types.join(" ")} ${machine ?? ""}`

/** Equal sets are one group, in whatever order they were said. */
const inOrder = (types: ReadonlyArray<string>): ReadonlyArray<string> => (types.length < 2 ? types : types.toSorted())

const groupOf = ({ worker }: Known, { kind, machine }: Placed, machines: ReadonlySet<string>): GroupId => ({
  kind: kind.name,
  machine: machines.has(machine) ? machine : null,
  status: worker.status,
  standing: worker.standing,
  unhealthy_job_types: inOrder(worker.unhealthy_job_types)
})

const groupOfGone = ({ kind, machine }: Placed, machines: ReadonlySet<string>): GroupId => ({
  kind: kind.name,
  machine: machines.has(machine) ? machine : null,
  status: "gone",
  standing: "open",
  unhealthy_job_types: []
})

const glimpseOf = (group: GroupId, { beats, worker }: Known, since: DateTime.Utc): WorkerGlimpse => {
  const beat = beats.at(-1)
  const { kind, machine, standing, status, unhealthy_job_types } = group
  return {
    ...{ kind, machine, standing, status, unhealthy_job_types },
    id: worker.id,
    capacity: worker.capacity,
    machine_id: worker.machine_id,
    last_heartbeat_at: beat === undefined ? null : DateTime.makeUnsafe(beat),
    status_changed_at: since,
    connectors: status === "gone" ? [] : worker.connectors
  }
}

export const make = (rows: ReadonlyMap<WorkerId, Known>) => {
  const kinds = new Map<string, Kind>()
  const placed = new Map<WorkerId, Placed>()
  // In the order in which they went.
  const gone = new Map<WorkerId, Gone>()
  let names = 0

  const enter = (capabilities: Capabilities): Placed => {
    const { machine, text } = signatureOf(capabilities)
    const kind = kinds.get(text) ?? { name: `k${++names}`, text, offer: JSON.parse(text), workers: 0 }
    kind.workers++
    kinds.set(text, kind)
    return { kind, machine }
  }

  const leave = ({ kind }: Placed): void => {
    kind.workers--
    if (kind.workers === 0) kinds.delete(kind.text)
  }

  const forget = (id: WorkerId): void => {
    const known = gone.get(id)
    if (known === undefined) return
    gone.delete(id)
    leave(known)
  }

  /** Visits every worker with its group. */
  const visit = (
    machines: ReadonlyArray<string>,
    now: number,
    each: (group: GroupId, known: Known, kind: Kind, since: DateTime.Utc) => void
  ): void => {
    const named = new Set(machines)
    for (const [id, known] of rows) {
      const place = placed.get(id)
      if (place !== undefined) each(groupOf(known, place, named), known, place.kind, known.worker.status_changed_at)
    }
    for (const known of gone.values()) {
      if (known.at > now - remembered) {
        each(groupOfGone(known, named), known, known.kind, DateTime.makeUnsafe(known.at))
      }
    }
  }

  return {
    /** A worker was stored, or stored again. */
    came: ({ capabilities, id }: Worker): void => {
      const before = placed.get(id)
      placed.set(id, enter(capabilities))
      if (before !== undefined) leave(before)
      forget(id)
    },

    left: ({ beats, worker }: Known, now: number): void => {
      const place = placed.get(worker.id)
      if (place === undefined) return
      placed.delete(worker.id)
      gone.set(worker.id, { ...place, worker, beats, at: now })
      for (const [oldest, { at }] of gone) {
        if (at > now - remembered && gone.size <= rememberedAtMost) break
        forget(oldest)
      }
    },

    groups: (machines: ReadonlyArray<string>, now: number): ReadonlyArray<WorkerGroup> => {
      const found = new Map<string, { readonly group: GroupId; readonly kind: Kind; workers: number }>()
      visit(machines, now, (group, _, kind) => {
        const key = keyOf(group)
        const before = found.get(key)
        if (before === undefined) found.set(key, { group, kind, workers: 1 })
        else before.workers++
      })
      return [...found.values()].map(({ group, kind, workers }) => ({
        ...group,
        capabilities: onMachine(kind.offer, group.machine ?? ""),
        workers
      }))
    },

    glimpses: (
      machines: ReadonlyArray<string>,
      wanted: ReadonlyArray<Wanted>,
      now: number
    ): ReadonlyArray<WorkerGlimpse> => {
      const left = new Map(wanted.map((group) => [keyOf(group), group.limit]))
      const found: Array<WorkerGlimpse> = []
      visit(machines, now, (group, known, _, since) => {
        const key = keyOf(group)
        const room = left.get(key) ?? 0
        if (room === 0) return
        left.set(key, room - 1)
        found.push(glimpseOf(group, known, since))
      })
      return found
    }
  }
}
