/**
 * The worker types one can name in CONNECTORS: which job types each accepts, and which connector runs them.
 */
export interface WorkerType {
  readonly name: string
  /** Job type → name of the connector that runs it. */
  readonly connectors: Readonly<Record<string, string>>
}

export const workerTypes: ReadonlyArray<WorkerType> = [
  { name: "simulation", connectors: { simulation: "SimulationConnector" } }
]
