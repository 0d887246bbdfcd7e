/** Times and durations as people read and write them. */
import * as IsoTime from "@muster/core/IsoTime"
import * as DateTime from "effect/DateTime"

const second = 1_000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

/** The time an ISO text names; undefined when it names none. */
export const parseTime = (text: string): DateTime.Utc | undefined => {
  const milliseconds = IsoTime.parse(text)
  return milliseconds === undefined ? undefined : DateTime.makeUnsafe(milliseconds)
}

/** A length of time, rounded down to one unit: `3 s`, `5 min`, `2 h`, `4 d`. */
export const length = (milliseconds: number): string => {
  if (milliseconds < minute) return `${Math.floor(milliseconds / second)} s`
  if (milliseconds < hour) return `${Math.floor(milliseconds / minute)} min`
  return milliseconds < 2 * day ? `${Math.floor(milliseconds / hour)} h` : `${Math.floor(milliseconds / day)} d`
}

/** How long something took: below ten seconds more precisely than {@link length}. */
export const took = (milliseconds: number): string => {
  if (milliseconds < second) return `${Math.max(0, milliseconds)} ms`
  return milliseconds < 10 * second ? `${(milliseconds / second).toFixed(1)} s` : length(milliseconds)
}

/** How long ago, or in what time: `3 s ago`, `in 5 min`. The clocks of two machines differ: below a second is now. */
export const relative = (time: DateTime.Utc, now: DateTime.Utc): string => {
  const passed = DateTime.toEpochMillis(now) - DateTime.toEpochMillis(time)
  if (Math.abs(passed) < second) return "just now"
  return passed > 0 ? `${length(passed)} ago` : `in ${length(-passed)}`
}

/** The age of something, never negative. */
export const age = (since: DateTime.Utc, now: DateTime.Utc): string =>
  length(Math.max(0, DateTime.toEpochMillis(now) - DateTime.toEpochMillis(since)))

/** Both for people and exact: `3 s ago (2026-01-01T12:00:00.000Z)`. */
export const exact = (time: DateTime.Utc, now: DateTime.Utc): string =>
  `${relative(time, now)} (${DateTime.formatIso(time)})`
