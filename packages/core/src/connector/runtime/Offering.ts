/**
 * What a worker can run now: the job types whose connectors take jobs and have room, and what their services have. The
 * claim loop asks before every claim, and claims at once when there is more to offer.
 */
import type { Capabilities } from "../../worker/Worker.ts"
import type { RunningConnector } from "../Connector.ts"
import type { ConnectorReport } from "../ConnectorReport.ts"
import type { SupervisedConnector } from "./SupervisedConnector.ts"

export interface Offering {
  /** What the worker offers when all its connectors are well: what the registry is told. */
  readonly whole: () => Capabilities
  /** What it offers now; without job types that could not be begun. The same object until something changes. */
  readonly now: () => Capabilities
  /** Jobs that a claim may bring, whichever of the types offered they are of. */
  readonly room: () => number
  /** Counts a claimed job against the room of its connector, until the returned function is called. */
  readonly take: (job_type: string) => () => void
  readonly connectorOf: (job_type: string) => Pick<RunningConnector, "process"> | undefined
  readonly reports: () => ReadonlyArray<ConnectorReport>
  /** Has `notify` called whenever any of this may have changed, until the returned function is. */
  readonly onChange: (notify: () => void) => () => void
}

/** Connectors that are always well: for tests, and for connectors of one's own without supervision. */
export const fixed = (capabilities: Capabilities, connectors: ReadonlyMap<string, RunningConnector>): Offering => {
  const offered = { ...capabilities, job_types: capabilities.job_types.filter((type) => connectors.has(type)) }
  return {
    whole: () => offered,
    now: () => offered,
    room: () => Number.MAX_SAFE_INTEGER,
    take: () => () => undefined,
    connectorOf: (job_type) => connectors.get(job_type),
    reports: () => [],
    onChange: () => () => undefined
  }
}

/** A worker can offer no more. */
const mostModels = 10_000

/** What the operator said goes before what services say; amounts of hardware are those of the weakest service. */
const withOffers = (capabilities: Capabilities, connectors: ReadonlyArray<SupervisedConnector>): Capabilities => {
  const offers = connectors.map((connector) => connector.offer())
  const hardware: Record<string, number> = {}
  for (const offer of offers) {
    for (const [name, amount] of Object.entries(offer.hardware ?? {})) {
      hardware[name] = Math.min(hardware[name] ?? Number.POSITIVE_INFINITY, amount)
    }
  }
  const said = capabilities.hardware ?? {}
  const models = [...new Set([...(capabilities.models ?? []), ...offers.flatMap(({ models = [] }) => models)])].slice(
    0,
    mostModels
  )
  const labels = Object.assign({}, ...offers.map((offer) => offer.labels ?? {}), capabilities.labels ?? {})
  return {
    ...capabilities,
    ...(Object.keys({ ...hardware, ...said }).length === 0 ? {} : { hardware: { ...hardware, ...said } }),
    ...(models.length === 0 ? {} : { models }),
    ...(Object.keys(labels).length === 0 ? {} : { labels })
  }
}

export interface SupervisedOffering extends Offering {
  /** Tells those who listen that something changed. */
  readonly changed: () => void
}

/** What supervised connectors let a worker offer. `said` is what its operator says it is. */
export const supervised = (said: Omit<Capabilities, "job_types">) => {
  const listeners = new Set<() => void>()
  const connectors: Array<SupervisedConnector> = []
  const types = (chosen: ReadonlyArray<SupervisedConnector>) => chosen.flatMap(({ job_types }) => job_types)
  const ready = () => connectors.filter((connector) => connector.free() > 0)
  const connectorOf = (job_type: string) => connectors.find(({ job_types }) => job_types.includes(job_type))
  let known: Capabilities | undefined

  return {
    connectors,
    offering: {
      whole: () => withOffers({ ...said, job_types: types(connectors) }, connectors),
      now: () => (known ??= withOffers({ ...said, job_types: types(ready()) }, connectors)),
      room: () => Math.min(...ready().map((connector) => connector.free())),
      take: (job_type) => connectorOf(job_type)?.take() ?? (() => undefined),
      connectorOf,
      reports: () => connectors.map((connector) => connector.report()),
      onChange: (notify) => {
        listeners.add(notify)
        return () => listeners.delete(notify)
      },
      changed: () => {
        known = undefined
        for (const notify of listeners) notify()
      }
    } satisfies SupervisedOffering as SupervisedOffering
  }
}
