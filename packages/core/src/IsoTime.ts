/**
 * Times as people and programs write them: ISO 8601 with a zone. What JavaScript makes of other texts is guesswork:
 * 30 February becomes 2 March, `5` a day in 2001, and a text without a zone another time on another machine.
 */

const zoned = /^(\d{4})-(\d\d)-(\d\d)T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/

/** The milliseconds since 1970 of the time that a text names; undefined when it names none. */
export const parse = (text: string): number | undefined => {
  const [, year, month, dayOfMonth] = (zoned.exec(text) ?? []).map(Number)
  if (year === undefined || month === undefined || dayOfMonth === undefined) return undefined
  if (dayOfMonth > new Date(Date.UTC(year, month, 0)).getUTCDate()) return undefined
  const milliseconds = Date.parse(text)
  return Number.isNaN(milliseconds) ? undefined : milliseconds
}

/** What to answer for another text. */
export const expected = "a time with its zone, such as 2026-12-31T18:00:00Z"
