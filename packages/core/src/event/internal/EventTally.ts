/** How many events of which kind were read, and how many jobs of each class came and went within the last minute. */
import type { Event, EventType } from "../Event.ts"
import type { AttemptEnds, ClassRate } from "../EventFeed.ts"

/** Lengths in ms: of what is told, and of the pieces it is made of. */
const told = 60_000
const piece = 5_000

const counted: Partial<Record<EventType, keyof ClassRate>> = {
  "job.submitted": "submitted",
  "job.started": "started",
  "job.completed": "ended",
  "job.failed": "ended",
  "job.cancelled": "ended",
  "job.expired": "ended"
}

type Counts = { -readonly [Name in keyof ClassRate]: number }
const none = (): Counts => ({ submitted: 0, started: 0, ended: 0 })

export const make = () => {
  const totals = new Map<EventType, number>()
  const attempts = new Map<string, { -readonly [Name in keyof AttemptEnds]: AttemptEnds[Name] }>()
  /** By the number of the piece of time. */
  const pieces = new Map<number, Map<string, Counts>>()

  const forgetOld = (now: number): void => {
    for (const number of pieces.keys()) {
      // One of the future is of before the clock was set back.
      if ((number + 1) * piece <= now - told || number * piece > now) pieces.delete(number)
    }
  }

  const pieceAt = (now: number): Map<string, Counts> => {
    const number = Math.floor(now / piece)
    const found = pieces.get(number)
    if (found !== undefined) return found
    forgetOld(now)
    const made = new Map<string, Counts>()
    pieces.set(number, made)
    return made
  }

  return {
    /** Counts events that were read at a time in ms. */
    add: (events: ReadonlyArray<Event>, now: number): void => {
      const classes = pieceAt(now)
      for (const { error, outcome, requirement_class, type } of events) {
        totals.set(type, (totals.get(type) ?? 0) + 1)
        if (outcome !== undefined) {
          const error_kind = outcome === "completed" || error === undefined ? null : error.kind
          const ends = attempts.get(`${outcome} ${error_kind}`) ?? { outcome, error_kind, count: 0 }
          ends.count++
          attempts.set(`${outcome} ${error_kind}`, ends)
        }
        const what = counted[type]
        if (what === undefined || requirement_class === undefined) continue
        const counts = classes.get(requirement_class) ?? none()
        counts[what]++
        classes.set(requirement_class, counts)
      }
    },

    totals: (): ReadonlyMap<EventType, number> => new Map(totals),

    attempts: (): ReadonlyArray<AttemptEnds> => Array.from(attempts.values(), (ends) => ({ ...ends })),

    rates: (now: number): ReadonlyMap<string, ClassRate> => {
      forgetOld(now)
      const sums = new Map<string, Counts>()
      for (const classes of pieces.values()) {
        for (const [id, { ended, started, submitted }] of classes) {
          const sum = sums.get(id) ?? none()
          sum.submitted += submitted
          sum.started += started
          sum.ended += ended
          sums.set(id, sum)
        }
      }
      return sums
    }
  }
}
