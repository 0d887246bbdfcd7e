/**
 * Claims that found nothing and stand. They are sent once more behind the command that waits for what this process is
 * told, over the same connection: Redis takes them up in the moment in which a wake ends the waiting, so that the jobs
 * come with the wake and not a claim later. Such a claim gives nothing to a worker that was not woken, or that has
 * claimed, left or been paused since (see lua/functions/claim.lua), and a process that has died makes none.
 *
 * Only the last to be parked stand, for they are woken first; the others are woken and claim.
 */
import type { Signal } from "@muster/core/job/internal/JobQueue"
import { Clock, Deferred, Effect, Exit } from "effect"
import type * as JobCommands from "./JobCommands.ts"

/** Claims behind one look when it begins, and in all: each of them runs whenever a look ends. */
const behindLook = 2
const atOnce = 4

type Ask = ReturnType<typeof JobCommands.claimWoken>
type Answer = Effect.Success<ReturnType<Ask>>

/** The claims of one worker that are on their way. */
interface Flight {
  count: number
  /** Its wake has been heard, and waits for what they say. */
  woken: boolean
  readonly landed: Deferred.Deferred<void>
}

/** `tell` hands a signal to a worker at once. */
export const make = Effect.fnUntraced(function* (tell: (worker: string, signal: Signal) => void) {
  const run = Effect.runForkWith(yield* Effect.context())
  /** In the order in which they were parked. */
  const standing = new Map<string, JobCommands.WrittenClaim>()
  const flights = new Map<string, Flight>()
  let underWay = 0
  let ask: Ask | undefined

  const end = (claim: JobCommands.WrittenClaim): void => {
    if (standing.get(claim.worker_id) === claim) standing.delete(claim.worker_id)
  }

  const hear = (claim: JobCommands.WrittenClaim, flight: Flight, answer: Answer, askedAt: bigint): void => {
    const [said, more, jobs] = answer
    if (said === "parked") return
    // With nothing for it after all it is parked again, and stands.
    const isParked = said === "jobs" && jobs.length === 0 && !more
    if (isParked) flight.woken = false
    else end(claim)
    if (said !== "jobs" || jobs.length === 0) return
    flight.woken = false
    tell(claim.worker_id, { _tag: "Given", nonce: claim.nonce, jobs, askedAt })
  }

  const send = (by: Ask, claim: JobCommands.WrittenClaim): void => {
    const { nonce, worker_id } = claim
    const flight = flights.get(worker_id) ?? { count: 0, woken: false, landed: Deferred.makeUnsafe<void>() }
    flights.set(worker_id, flight)
    flight.count++
    underWay++
    const land = (exit: Exit.Exit<Answer, unknown>, askedAt: bigint): void => {
      underWay--
      flight.count--
      if (flight.count === 0) flights.delete(worker_id)
      if (Exit.isSuccess(exit)) hear(claim, flight, exit.value, askedAt)
      else {
        end(claim)
        flight.woken = false
        tell(worker_id, { _tag: "Unheard", nonce })
      }
      if (flight.count > 0) return
      if (flight.woken) tell(worker_id, { _tag: "Wake" })
      Deferred.doneUnsafe(flight.landed, Effect.void)
    }
    run(
      Effect.flatMap(Clock.currentTimeNanos, (askedAt) =>
        Effect.map(Effect.exit(by(claim)), (exit) => land(exit, askedAt))
      )
    )
  }

  return {
    /** A look was sent by the connection that `by` asks over. */
    lookBegins: (by: Ask): void => {
      ask = by
      const latest = [...standing.values()].slice(-behindLook)
      for (const claim of latest) if (!flights.has(claim.worker_id)) send(by, claim)
    },
    lookEnds: (): void => {
      ask = undefined
    },
    /** This claim has parked its worker. */
    stand: (claim: JobCommands.WrittenClaim): void => {
      standing.delete(claim.worker_id)
      standing.set(claim.worker_id, claim)
      if (ask !== undefined && underWay < atOnce) send(ask, claim)
    },
    /** The worker claims or leaves: nothing of it stands. */
    end: (worker: string): void => void standing.delete(worker),
    /** A worker is woken; says whether a claim of its is on its way, which then answers the wake. */
    answers: (worker: string): boolean => {
      const flight = flights.get(worker)
      if (flight !== undefined) flight.woken = true
      return flight !== undefined
    },
    /** Waits for the claims of a worker that are on their way. */
    landed: (worker: string): Effect.Effect<void> =>
      Effect.suspend(() => {
        const flight = flights.get(worker)
        return flight === undefined ? Effect.void : Deferred.await(flight.landed)
      })
  }
})
