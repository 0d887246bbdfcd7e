/**
 * The workers by groups. Most are open and healthy, so all are counted by kind and status alone, in a narrow table; those
 * that are not, and those on machines that a job names, are looked up one by one and taken from the sums.
 */
import { onMachine } from "@muster/core/worker/CapabilitySignature"
import type { GroupsRequest, Wanted } from "@muster/core/worker/internal/WorkerRepository"
import { Capabilities, Worker, WorkerId } from "@muster/core/worker/Worker"
import {
  type GroupId,
  rememberedFor,
  textOf,
  type WorkerGlimpse,
  type WorkerGroup
} from "@muster/core/worker/WorkerGroup"
import { Clock, Duration, Effect, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import * as SqlSchema from "effect/sql/SqlSchema"
import * as CapabilityKey from "./CapabilityKey.ts"
import { repository } from "./PgFailure.ts"
import * as SharedRuns from "./SharedRuns.ts"
import { StoredConnectors } from "./StoredConnectors.ts"
import { ago } from "./StoreTime.ts"

/** How old the counts may be. */
const countsLive = Duration.toMillis(Duration.seconds(1))

const KnownStatus = Schema.Union([Worker.fields.status, Schema.Literal("gone")])

const group = {
  kind: Schema.String,
  status: KnownStatus,
  standing: Worker.fields.standing,
  unhealthy_job_types: Schema.Array(Schema.String)
}
const Counted = Schema.Struct({ ...group, machine_key: Schema.NullOr(Schema.String), workers: Schema.Int })
type Counted = typeof Counted.Type
const Offer = Schema.Struct({ kind: Schema.String, capabilities: Capabilities })

const Glimpse = Schema.Struct({
  ...group,
  machine_key: Schema.String,
  id: WorkerId,
  capacity: Schema.Int,
  machine_id: Schema.NullOr(Schema.String),
  last_heartbeat_at: Schema.NullOr(Schema.DateTimeUtcFromDate),
  status_changed_at: Schema.DateTimeUtcFromDate,
  connectors: StoredConnectors
})

/** What `glimpses` passes to the database, as columns. */
const Glimpsed = Schema.Struct({
  kinds: Schema.Array(Schema.String),
  /** Empty for null: the driver finds no type for a list of nulls. */
  machine_keys: Schema.Array(Schema.String),
  statuses: Schema.Array(Schema.String),
  standings: Schema.Array(Schema.String),
  unhealthy: Schema.Array(Schema.String),
  limits: Schema.Array(Schema.Int),
  named: Schema.Array(Schema.String)
})

const sortedText = (group: Omit<GroupId, "machine">) => textOf({ ...group, machine: null })

/** Takes the counts of `some` from those of the groups they are in by default. */
const without = (all: ReadonlyArray<Counted>, some: ReadonlyArray<Counted>): ReadonlyArray<Counted> => {
  const left = new Map(all.map((counted) => [sortedText(counted), { ...counted }]))
  for (const counted of some) {
    const text = sortedText(counted)
    const from = left.get(text)
    if (from !== undefined) left.set(text, { ...from, workers: from.workers - counted.workers })
  }
  // The two were not counted at one moment, so a difference may be less than nothing.
  return [...left.values()].filter(({ workers }) => workers > 0)
}

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient
  const recent = ago(sql, Duration.fromInputUnsafe(rememberedFor))
  const isGone = sql`d.gone_at > ${recent} AND NOT EXISTS (SELECT FROM workers r WHERE r.id = d.id)`
  /** In one order, so that equal sets are one group. */
  const unhealthyTypes = sql`
    CROSS JOIN LATERAL (
      SELECT ARRAY(SELECT t FROM unnest(w.unhealthy_job_types) AS t ORDER BY t COLLATE "C") AS types
    ) u`

  /** All by kind and status, and again those that are not open or not healthy, told apart by a mark. */
  const countAll = SqlSchema.findAll({
    Request: Schema.Void,
    Result: Schema.Struct({ ...Counted.fields, special: Schema.Boolean }),
    execute: () => sql`
      SELECT
        capability_key AS kind, NULL::text AS machine_key, status, 'open' AS standing, '{}'::text[] AS unhealthy_job_types,
        count(*)::int AS workers, false AS special
      FROM worker_status GROUP BY capability_key, status
      UNION ALL
      SELECT s.capability_key, NULL, s.status, w.standing, u.types, count(*)::int, true
      FROM workers w JOIN worker_status s ON s.worker_id = w.id ${unhealthyTypes}
      WHERE w.standing <> 'open' OR w.unhealthy_job_types <> '{}'
      GROUP BY s.capability_key, s.status, w.standing, u.types
      UNION ALL
      SELECT d.capability_key, NULL, 'gone', 'open', '{}', count(*)::int, false
      FROM departed_workers d WHERE ${isGone} GROUP BY d.capability_key`
  })

  const countOnMachines = SqlSchema.findAll({
    Request: Schema.Array(Schema.String),
    Result: Counted,
    execute: (keys) => sql`
      SELECT
        s.capability_key AS kind, s.machine_key, s.status, w.standing, u.types AS unhealthy_job_types,
        count(*)::int AS workers
      FROM worker_status s JOIN workers w ON w.id = s.worker_id ${unhealthyTypes}
      WHERE s.machine_key = ANY(${keys}::text[])
      GROUP BY s.capability_key, s.machine_key, s.status, w.standing, u.types
      UNION ALL
      SELECT d.capability_key, d.machine_key, 'gone', 'open', '{}', count(*)::int
      FROM departed_workers d WHERE d.machine_key = ANY(${keys}::text[]) AND ${isGone}
      GROUP BY d.capability_key, d.machine_key`
  })

  /** What one worker of each of these kinds offers, or offered. */
  const offersOf = SqlSchema.findAll({
    Request: Schema.Array(Schema.String),
    Result: Offer,
    execute: (keys) => sql`
      SELECT key AS kind, coalesce(
        (SELECT w.capabilities FROM worker_status s JOIN workers w ON w.id = s.worker_id WHERE s.capability_key = key LIMIT 1),
        (SELECT d.capabilities FROM departed_workers d WHERE d.capability_key = key LIMIT 1)
      ) AS capabilities
      FROM unnest(${keys}::text[]) AS k (key)
      WHERE EXISTS (SELECT FROM worker_status s WHERE s.capability_key = key)
        OR EXISTS (SELECT FROM departed_workers d WHERE d.capability_key = key)`
  })

  /** A text for the list of unhealthy job types, which as a column of lists could not travel. No name has a comma. */
  const unhealthyText = (types: ReadonlyArray<string>) => types.toSorted().join(",")

  const lookUp = SqlSchema.findAll({
    Request: Glimpsed,
    Result: Glimpse,
    execute: ({ kinds, limits, machine_keys, named, standings, statuses, unhealthy }) => sql`
      WITH asked AS (
        SELECT * FROM unnest(
          ${kinds}::text[], ${machine_keys}::text[], ${statuses}::text[], ${standings}::text[], ${unhealthy}::text[],
          ${limits}::int[]
        ) AS a (kind, machine_key, status, standing, unhealthy, most)
      )
      SELECT a.kind, a.machine_key, a.status, a.standing, found.*
      FROM asked a CROSS JOIN LATERAL (
        SELECT
          w.id, w.capacity, w.machine_id, u.types AS unhealthy_job_types, l.at AS last_heartbeat_at, s.status_changed_at,
          w.connectors
        FROM worker_status s
        JOIN workers w ON w.id = s.worker_id
        JOIN last_heartbeats l ON l.worker_id = s.worker_id
        ${unhealthyTypes}
        WHERE s.capability_key = a.kind AND s.status = a.status AND w.standing = a.standing
          AND CASE
            WHEN a.machine_key = '' THEN s.machine_key IS NULL OR s.machine_key <> ALL(${named}::text[])
            ELSE s.machine_key = a.machine_key
          END
          AND u.types = string_to_array(a.unhealthy, ',')
        LIMIT a.most
      ) found
      WHERE a.status <> 'gone'
      UNION ALL
      SELECT a.kind, a.machine_key, a.status, a.standing, found.*
      FROM asked a CROSS JOIN LATERAL (
        SELECT d.id, d.capacity, d.machine_id, '{}'::text[], d.last_heartbeat_at, d.gone_at, '[]'::json
        FROM departed_workers d
        WHERE d.capability_key = a.kind AND ${isGone}
          AND CASE
            WHEN a.machine_key = '' THEN d.machine_key IS NULL OR d.machine_key <> ALL(${named}::text[])
            ELSE d.machine_key = a.machine_key
          END
        ORDER BY d.gone_at DESC LIMIT a.most
      ) found
      WHERE a.status = 'gone'`
  })

  let offers: ReadonlyMap<string, Capabilities> = new Map()
  let counts: ReadonlyArray<Counted> = []
  /** The same as groups, for jobs that name no machine. */
  let everywhere: ReadonlyArray<WorkerGroup> = []
  let countedAt = -Infinity
  let changes = 0
  let countedChanges = 0

  /** What the kinds offer that are not known yet. */
  const learn = Effect.fnUntraced(function* (kinds: ReadonlySet<string>) {
    const unknown = [...kinds].filter((kind) => !offers.has(kind))
    const learnt = unknown.length === 0 ? [] : yield* offersOf(unknown)
    const all = [
      ...offers,
      ...learnt.map(({ capabilities, kind }) => [kind, CapabilityKey.offerOf(capabilities)] as const)
    ]
    offers = new Map(all.filter(([kind]) => kinds.has(kind)))
  })

  const toGroups = (counted: ReadonlyArray<Counted>, named: ReadonlyMap<string, string>) =>
    counted.flatMap(
      ({ kind, machine_key, standing, status, unhealthy_job_types, workers }): ReadonlyArray<WorkerGroup> => {
        const offer = offers.get(kind)
        // A kind that came after all were counted is there the next time.
        if (offer === undefined) return []
        const machine = machine_key === null ? null : (named.get(machine_key) ?? null)
        const capabilities = onMachine(offer, machine ?? "")
        return [{ kind, machine, status, standing, unhealthy_job_types, capabilities, workers }]
      }
    )

  const count = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const before = changes
    const counted = yield* countAll()
    yield* learn(new Set(counted.map(({ kind }) => kind)))
    const specials = counted.filter(({ special }) => special)
    const asDefault = specials.map((one) => ({ ...one, standing: "open" as const, unhealthy_job_types: [] }))
    counts = [
      ...without(
        counted.filter(({ special }) => !special),
        asDefault
      ),
      ...specials
    ]
    everywhere = toGroups(counts, new Map())
    countedAt = now
    countedChanges = before
  })
  // One count after the other: what is known never becomes older.
  const counting = yield* SharedRuns.make(repository("WorkerRepository.groups")(count))

  const groups = Effect.fnUntraced(function* ({ fresh, machines }: GroupsRequest) {
    const now = yield* Clock.currentTimeMillis
    if (fresh === true || changes !== countedChanges) yield* counting.next
    else if (now - countedAt >= countsLive) yield* counting.current
    if (machines.length === 0) return everywhere
    const all = counts
    const named = new Map(machines.map((machine) => [CapabilityKey.keyOfMachine(machine), machine]))
    const located = yield* countOnMachines([...named.keys()]).pipe(repository("WorkerRepository.groups"))
    return toGroups([...without(all, located), ...located], named)
  })

  const glimpses = Effect.fnUntraced(function* (machines: ReadonlyArray<string>, wanted: ReadonlyArray<Wanted>) {
    if (wanted.length === 0) return []
    const keys = new Map(machines.map((machine) => [machine, CapabilityKey.keyOfMachine(machine)]))
    const named = new Map([...keys].map(([machine, key]) => [key, machine]))
    const found = yield* lookUp({
      kinds: wanted.map(({ kind }) => kind),
      machine_keys: wanted.map(({ machine }) => (machine === null ? "" : (keys.get(machine) ?? ""))),
      statuses: wanted.map(({ status }) => status),
      standings: wanted.map(({ standing }) => standing),
      unhealthy: wanted.map(({ unhealthy_job_types }) => unhealthyText(unhealthy_job_types)),
      limits: wanted.map(({ limit }) => limit),
      named: [...named.keys()]
    }).pipe(repository("WorkerRepository.glimpses"))
    return found.map(({ machine_key, ...glimpse }): WorkerGlimpse => ({
      ...glimpse,
      machine: named.get(machine_key) ?? null
    }))
  })

  return {
    groups,
    glimpses,
    /** Does something that groups tell: questions asked afterwards count it. */
    counted: <A, E, R>(change: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.ensuring(
        change,
        Effect.sync(() => void changes++)
      )
  }
})
