/**
 * Who could run a job, without looking at workers one by one: their kinds are counted once a second at most, while
 * somebody asks, and each class of jobs is compared with each kind once.
 *
 * That nobody could is said of this moment. Only a new kind can change it, so the kinds there are now are looked up: as
 * many steps in an index as there are kinds, however many workers.
 */
import type { JobFacts } from "@muster/core/job/Matching"
import { machinesNamed } from "@muster/core/job/RequirementClass"
import type { Acceptance } from "@muster/core/worker/internal/WorkerRepository"
import { Capabilities } from "@muster/core/worker/Worker"
import type { RepositoryError } from "@muster/core/worker/WorkerErrors"
import { Clock, Duration, Effect, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import * as SqlSchema from "effect/sql/SqlSchema"
import * as CapabilityKey from "./CapabilityKey.ts"
import * as KindCounts from "./KindCounts.ts"
import { repository } from "./PgFailure.ts"
import * as SharedRuns from "./SharedRuns.ts"

/** How old the counts may be. Counting 100,000 workers takes 20 ms. */
const countsLive = Duration.toMillis(Duration.seconds(1))

/** From here on counting all workers is quicker than looking up the kinds one after the other. */
const manyKinds = 2_000

const Counts = { active: Schema.Int, registered: Schema.Int }
const KindRow = Schema.Struct({ capability_key: Schema.String, ...Counts })
const LocatedRow = Schema.Struct({ ...KindRow.fields, machine_key: Schema.NullOr(Schema.String) })
const Keys = Schema.Struct({ keys: Schema.Array(Schema.String) })
const Offer = Schema.Struct({ capability_key: Schema.String, capabilities: Capabilities })

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient
  const counted = sql`(count(*) FILTER (WHERE status = 'active'))::int AS active, count(*)::int AS registered`

  const countKinds = SqlSchema.findAll({
    Request: Schema.Void,
    Result: KindRow,
    execute: () => sql`SELECT capability_key, ${counted} FROM worker_status GROUP BY capability_key`
  })

  /** PostgreSQL would read all rows for a DISTINCT; this goes from each key to the next one. */
  const keysNow = SqlSchema.findOne({
    Request: Schema.Void,
    Result: Keys,
    execute: () => sql`
      WITH RECURSIVE found AS (
        (SELECT capability_key AS key FROM worker_status ORDER BY capability_key LIMIT 1)
        UNION ALL
        SELECT (SELECT capability_key FROM worker_status WHERE capability_key > key ORDER BY capability_key LIMIT 1)
        FROM found WHERE key IS NOT NULL
      )
      SELECT ARRAY(SELECT key FROM found WHERE key IS NOT NULL) AS keys`
  })

  /** What one worker of each of these kinds offers. */
  const offersOf = SqlSchema.findAll({
    Request: Schema.Array(Schema.String),
    Result: Offer,
    execute: (keys) => sql`
      SELECT s.capability_key, w.capabilities
      FROM unnest(${keys}::text[]) AS k (key)
      CROSS JOIN LATERAL (SELECT worker_id, capability_key FROM worker_status WHERE capability_key = key LIMIT 1) s
      JOIN workers w ON w.id = s.worker_id`
  })

  const onMachines = SqlSchema.findAll({
    Request: Schema.Array(Schema.String),
    Result: LocatedRow,
    execute: (keys) => sql`
      SELECT capability_key, machine_key, ${counted} FROM worker_status
      WHERE machine_key = ANY(${keys}::text[]) GROUP BY capability_key, machine_key`
  })

  const everywhere = SqlSchema.findAll({
    Request: Schema.Array(Schema.String),
    Result: LocatedRow,
    execute: (keys) => sql`
      SELECT capability_key, named.key AS machine_key, ${counted}
      FROM worker_status LEFT JOIN unnest(${keys}::text[]) AS named (key) ON named.key = machine_key
      GROUP BY capability_key, named.key`
  })

  const kinds = KindCounts.make()
  let takenAt = -Infinity

  const takeCensus = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const counts = yield* countKinds()
    const unknown = kinds.unknown(counts.map(({ capability_key }) => capability_key))
    const offers = unknown.length === 0 ? [] : yield* offersOf(unknown)
    const described = offers.map(
      ({ capabilities, capability_key }) => [capability_key, CapabilityKey.offerOf(capabilities)] as const
    )
    kinds.update(counts, new Map(described))
    takenAt = now
  })

  // One census after the other: what is known never becomes older.
  const census = yield* SharedRuns.make(repository("WorkerRepository.accepting")(takeCensus))

  const lookForNewKinds = Effect.gen(function* () {
    if (kinds.size() > manyKinds) return yield* census.next
    const { keys } = yield* keysNow()
    if (kinds.unknown(keys).length > 0) yield* census.next
  })
  const newKinds = yield* SharedRuns.make(repository("WorkerRepository.accepting")(lookForNewKinds))

  const recent = Effect.flatMap(Clock.currentTimeMillis, (now) =>
    now - takenAt < countsLive ? Effect.void : census.current
  )

  /** A job that names machines is asked about each time; it costs what is on those machines. */
  const acceptingOnMachines = (facts: JobFacts, machines: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const keys = machines.map(CapabilityKey.keyOfMachine)
      const around = kinds.countAround(facts, machines, yield* onMachines(keys))
      if (around.registered > 0) return around
      yield* newKinds.next
      const located = yield* kinds.matchesAnywhere(facts) ? everywhere(keys) : onMachines(keys)
      return kinds.countLocated(facts, machines, located)
    }).pipe(repository("WorkerRepository.accepting"))

  const accepting = Effect.fnUntraced(function* (facts: JobFacts): Effect.fn.Return<Acceptance, RepositoryError> {
    yield* recent
    const machines = machinesNamed(facts.requirements)
    if (machines.length > 0) return yield* acceptingOnMachines(facts, machines)
    const known = kinds.count(facts)
    if (known.registered > 0) return known
    yield* newKinds.next
    return kinds.count(facts)
  })

  return {
    accepting,
    acceptsType: (service_required: string) => Effect.map(recent, () => kinds.acceptsType(service_required))
  }
})
