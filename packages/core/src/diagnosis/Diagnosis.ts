/**
 * The checks of this process. Each part that is wired in contributes its own, so whoever asks learns about all there
 * is and nothing else.
 */
import { Context, Duration, Effect, Layer, type Scope, Stream } from "effect"
import * as Finding from "./Finding.ts"

export interface Check {
  /** See `Finding.name`; no two checks have the same. */
  readonly name: string
  /** Null: there is nothing to say, because the check of what it needs says it already. Changes nothing it looks at. */
  readonly run: Effect.Effect<Finding.Found | null>
}

export interface Diagnosis {
  /** Adds checks for as long as the scope. */
  readonly contribute: (checks: ReadonlyArray<Check>) => Effect.Effect<void, never, Scope.Scope>
  /** All there are now, in the order in which they are told. */
  readonly checks: Effect.Effect<ReadonlyArray<Check>>
}

/** How long one check may take. */
const patience = Duration.millis(2_500)

/** The areas, from what everything else stands on to what stands on it. */
const areas = [
  "node",
  "configuration",
  "mapping",
  "server",
  "token",
  "clock",
  "stores",
  "postgres",
  "redis",
  "queue",
  "assets",
  "workers",
  "webhooks"
]

const areaOf = (name: string): number => {
  const at = areas.indexOf(name.split(".", 1).join())
  return at < 0 ? areas.length : at
}

/** By area; within one, as they were contributed. */
export const inOrder = <A extends { readonly name: string }>(named: ReadonlyArray<A>): ReadonlyArray<A> =>
  named.toSorted((left, right) => areaOf(left.name) - areaOf(right.name))

export const make = (): Diagnosis => {
  const contributed = new Set<ReadonlyArray<Check>>()
  return {
    contribute: (checks) =>
      Effect.acquireRelease(
        Effect.sync(() => void contributed.add(checks)),
        () => Effect.sync(() => void contributed.delete(checks))
      ),
    checks: Effect.sync(() => inOrder([...contributed].flat()))
  }
}

export const Diagnosis = Context.Reference<Diagnosis>("@muster/core/diagnosis/Diagnosis", { defaultValue: make })

/** One of its own for what is built with it. */
export const layer: Layer.Layer<never> = Layer.sync(Diagnosis, make)

export const contribute = (checks: ReadonlyArray<Check>): Effect.Effect<void, never, Scope.Scope> =>
  Effect.flatMap(Diagnosis, (diagnosis) => diagnosis.contribute(checks))

const inWords = (defect: unknown): string => (defect instanceof Error ? defect.message : String(defect))

const found = ({ name, run }: Check): Effect.Effect<ReadonlyArray<Finding.Finding>> =>
  run.pipe(
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () =>
        Effect.succeed(
          Finding.error(
            `no answer within ${Duration.format(patience)}`,
            "see whether what it asks hangs, then try again"
          )
        )
    }),
    Effect.catchDefect((defect) =>
      Effect.as(
        Effect.logError(`the check ${name} broke`, defect),
        Finding.error(`the check itself broke: ${inWords(defect)}`, "report this: it is a bug")
      )
    ),
    Effect.map((found) => (found === null ? [] : [{ name, ...found }]))
  )

/** Runs checks at the same time, each for 2.5 s at most; findings come in the order of the checks. */
export const run = (checks: ReadonlyArray<Check>): Stream.Stream<Finding.Finding> =>
  Stream.fromIterable(checks).pipe(
    Stream.mapEffect(found, { concurrency: "unbounded" }),
    Stream.flatMap((findings) => Stream.fromIterable(findings))
  )
