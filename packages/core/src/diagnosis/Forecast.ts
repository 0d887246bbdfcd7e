/** When something that grows will be full, from how it grew lately. */

export interface Reading {
  /** In ms. */
  readonly at: number
  readonly value: number
}

/** Over less time, or with fewer readings, growth says nothing. */
const shortest = 60_000
const fewest = 5
/** Further away than this nobody can know. */
const furthest = 30 * 24 * 3_600_000

/** Growth per ms: the line that lies nearest to the readings. Null when they are too few. */
export const slope = (readings: ReadonlyArray<Reading>): number | null => {
  const [first, last] = [readings[0], readings.at(-1)]
  if (first === undefined || last === undefined) return null
  if (readings.length < fewest || last.at - first.at < shortest) return null
  const mean = (of: (reading: Reading) => number) =>
    readings.reduce((sum, reading) => sum + of(reading), 0) / readings.length
  const [at, value] = [mean((reading) => reading.at), mean((reading) => reading.value)]
  const spread = mean((reading) => (reading.at - at) ** 2)
  return spread === 0 ? null : mean((reading) => (reading.at - at) * (reading.value - value)) / spread
}

/**
 * In how many ms the value reaches `full`, when it goes on as in these readings, oldest first. 0 when it is there; null
 * when it does not grow, when it would take more than a month, or when there are too few readings to tell.
 */
export const fullIn = (readings: ReadonlyArray<Reading>, full: number): number | null => {
  const last = readings.at(-1)
  if (last === undefined) return null
  if (last.value >= full) return 0
  const growth = slope(readings)
  if (growth === null || growth <= 0) return null
  const left = (full - last.value) / growth
  return left > furthest ? null : left
}
