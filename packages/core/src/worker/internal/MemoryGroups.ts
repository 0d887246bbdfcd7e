/** The workers of the registry in memory by groups, those that were unregistered lately among them. */
import { DateTime, Duration } from "effect"
import { onMachine, signatureOf } from "../CapabilitySignature.ts"
import type { Capabilities, Worker, WorkerId } from "../Worker.ts"
import {
  type GroupId,
  rememberedAtMost,
  rememberedFor,
  textOf,
  type WorkerGlimpse,
  type WorkerGroup
} from "../WorkerGroup.ts"
import type { Wanted } from "./WorkerRepository.ts"

interface Kind {
  readonly text: string
  /** Where the worker is; not part of its kind. */
  readonly machine: string
  /** What all of the kind offer. */
  readonly offer: Capabilities
}

/** What is remembered of a worker, registered or gone. */
interface Known {
  readonly worker: Worker
  readonly beats: ReadonlyArray<number>
  /** When it was unregistered, in ms; undefined while it is registered. */
  readonly goneAt?: number
}

const remembered = Duration.toMillis(Duration.fromInputUnsafe(rememberedFor))

const kindOf = (capabilities: Capabilities): Kind => {
  const { machine, text } = signatureOf(capabilities)
  return { text, machine, offer: JSON.parse(text) }
}

const glimpseOf = ({ beats, goneAt, worker }: Known, group: GroupId): WorkerGlimpse => {
  const beat = beats.at(-1)
  return {
    ...group,
    id: worker.id,
    capacity: worker.capacity,
    machine_id: worker.machine_id,
    last_heartbeat_at: beat === undefined ? null : DateTime.makeUnsafe(beat),
    status_changed_at: goneAt === undefined ? worker.status_changed_at : DateTime.makeUnsafe(goneAt)
  }
}

export const make = (rows: ReadonlyMap<WorkerId, Known>) => {
  const kinds = new Map<WorkerId, Kind>()
  // In the order in which they went.
  const gone = new Map<WorkerId, Known & { readonly kind: Kind }>()

  const groupOf = ({ goneAt, worker }: Known, kind: Kind, machines: ReadonlySet<string>): GroupId => ({
    kind: kind.text,
    machine: machines.has(kind.machine) ? kind.machine : null,
    status: goneAt === undefined ? worker.status : "gone",
    standing: goneAt === undefined ? worker.standing : "open",
    unhealthy_job_types: goneAt === undefined ? worker.unhealthy_job_types : []
  })

  function* all(now: number): Generator<readonly [known: Known, kind: Kind]> {
    for (const [id, known] of rows) {
      const kind = kinds.get(id)
      if (kind !== undefined) yield [known, kind]
    }
    for (const known of gone.values()) {
      if (known.goneAt !== undefined && known.goneAt > now - remembered) yield [known, known.kind]
    }
  }

  return {
    /** A worker was stored, or stored again. */
    came: ({ capabilities, id }: Worker): void => {
      kinds.set(id, kindOf(capabilities))
      gone.delete(id)
    },

    left: (known: Known, now: number): void => {
      const { id } = known.worker
      const kind = kinds.get(id)
      kinds.delete(id)
      if (kind !== undefined) gone.set(id, { ...known, kind, goneAt: now })
      for (const [oldest, { goneAt = now }] of gone) {
        if (goneAt > now - remembered && gone.size <= rememberedAtMost) break
        gone.delete(oldest)
      }
    },

    groups: (machines: ReadonlyArray<string>, now: number): ReadonlyArray<WorkerGroup> => {
      const named = new Set(machines)
      const found = new Map<string, WorkerGroup>()
      for (const [known, kind] of all(now)) {
        const group = groupOf(known, kind, named)
        const text = textOf(group)
        const capabilities = onMachine(kind.offer, group.machine ?? "")
        found.set(text, { ...group, capabilities, workers: (found.get(text)?.workers ?? 0) + 1 })
      }
      return [...found.values()]
    },

    glimpses: (
      machines: ReadonlyArray<string>,
      wanted: ReadonlyArray<Wanted>,
      now: number
    ): ReadonlyArray<WorkerGlimpse> => {
      const named = new Set(machines)
      const left = new Map(wanted.map((group) => [textOf(group), group.limit]))
      const found: Array<WorkerGlimpse> = []
      for (const [known, kind] of all(now)) {
        const group = groupOf(known, kind, named)
        const text = textOf(group)
        const room = left.get(text) ?? 0
        if (room === 0) continue
        left.set(text, room - 1)
        found.push(glimpseOf(known, group))
      }
      return found
    }
  }
}
