/**
 * Where the metrics of this process come from. A source reads its figures when somebody asks; one that fails or is slow
 * is left out of the answer, and takes nothing else with it.
 */
import { Context, Duration, Effect, Layer, Metric, type Scope } from "effect"

/** The series of a source at this moment. */
export type Source = Effect.Effect<Metric.MetricRegistry, unknown>

export interface MetricSources {
  /** Adds a source for as long as the scope. No two sources have a metric of the same name. */
  readonly contribute: (source: Source) => Effect.Effect<void, never, Scope.Scope>
  readonly sources: Effect.Effect<ReadonlyArray<Source>>
}

export const make = (): MetricSources => {
  const contributed = new Set<{ readonly source: Source }>()
  return {
    contribute: (source) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const entry = { source }
          contributed.add(entry)
          return entry
        }),
        (entry) => Effect.sync(() => void contributed.delete(entry))
      ),
    sources: Effect.sync(() => Array.from(contributed, ({ source }) => source))
  }
}

export const MetricSources = Context.Reference<MetricSources>("@muster/core/diagnosis/MetricSources", {
  defaultValue: make
})

/** Sources of their own for what is built with it. */
export const layer: Layer.Layer<never> = Layer.sync(MetricSources, make)

export const contribute = (source: Source): Effect.Effect<void, never, Scope.Scope> =>
  Effect.flatMap(MetricSources, (sources) => sources.contribute(source))

/** A source that updates metrics from figures it reads: a series it does not update this time is gone. */
export const sampled = <E>(update: Effect.Effect<void, E>): Effect.Effect<Metric.MetricRegistry, E> =>
  Effect.suspend(() => {
    const registry: Metric.MetricRegistry = new Map()
    return Effect.as(Effect.provideService(update, Metric.MetricRegistry, registry), registry)
  })

/** How long one source may take. */
const patience = Duration.millis(2_500)

/** What all sources say that can be read now, as one registry, after 2.5 s at most. */
export const collect = (sources: ReadonlyArray<Source>): Effect.Effect<Metric.MetricRegistry> =>
  Effect.forEach(
    sources,
    (source) =>
      source.pipe(
        Effect.timeout(patience),
        Effect.catchCause((cause) => Effect.as(Effect.logDebug("a source of metrics is left out", cause), new Map()))
      ),
    { concurrency: "unbounded" }
  ).pipe(Effect.map((registries) => new Map(registries.flatMap((registry: Metric.MetricRegistry) => [...registry]))))
