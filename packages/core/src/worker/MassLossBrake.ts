/**
 * When most of a fleet falls silent at once while nobody is heard at all, the likelier fault is ours: a network cut
 * or a store that was away. The brake then marks nobody and raises an alert, and looks again at the next check. It
 * holds three checks at most; a fleet that is really gone is marked after that.
 *
 * It only counts how often it held in a row. Each server counts for itself: whichever runs out first marks.
 */
import { Context, Duration, Effect, Layer, Ref } from "effect"
import type { BrakeRule, StaleReport } from "./internal/WorkerRepository.ts"

export const holdsAtMost = 3
const fleetFrom = 5

export class MassLossBrake extends Context.Service<
  MassLossBrake,
  {
    /** The rule for the next check; null when the brake has held often enough. */
    readonly rule: (timeout: Duration.Duration) => Effect.Effect<BrakeRule | null>
    /** Notes what the check found, and raises the alert when the brake held. */
    readonly note: (report: StaleReport) => Effect.Effect<void>
  }
>()("@muster/core/worker/MassLossBrake") {
  static readonly layer: Layer.Layer<MassLossBrake> = Layer.effect(
    MassLossBrake,
    Effect.gen(function* () {
      const held = yield* Ref.make(0)
      return MassLossBrake.of({
        rule: (timeout) =>
          Effect.map(Ref.get(held), (times) =>
            // Half the timeout is two beats: long enough that a living fleet would have been heard.
            times >= holdsAtMost ? null : { fleetFrom, silence: Duration.divideUnsafe(timeout, 2) }
          ),
        note: Effect.fnUntraced(function* (report) {
          if (report.held === null) return yield* Ref.set(held, 0)
          const times = yield* Ref.updateAndGet(held, (n) => n + 1)
          yield* Effect.logError(
            `${report.held} workers fell silent at once and nobody is heard: suspecting the broker, marking none ` +
              `(check ${times} of at most ${holdsAtMost})`
          ).pipe(Effect.annotateLogs({ alert: "mass-loss", workers: report.held }))
        })
      })
    })
  )
}
