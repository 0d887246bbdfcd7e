/** Lengths of time as people write them in settings, flags and queries: `500ms`, `30s`, `5m`, `1h`, `2d`. */

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** The milliseconds that a text names; undefined when it is no duration. */
export const parse = (text: string): number | undefined => {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text) ?? []
  return amount === undefined ? undefined : Math.round(Number(amount) * units[unit as keyof typeof units])
}

/** What to answer for another text. */
export const expected = "a duration such as 500ms, 30s, 5m or 1h"
