/**
 * A strict reader of the Prometheus text format (version 0.0.4). It refuses what a lenient one lets pass: a family told
 * twice, a series without its family, labels out of place, a histogram that does not add up.
 */
export interface Series {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Family {
  readonly type: string
  readonly help: string
  readonly series: ReadonlyArray<Series>
}

const name = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const line = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/
const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,(?=.)|$)/
const number = /^(?:[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?|[+-]Inf|NaN)$/i

const refuse = (what: string, text: string): never => {
  throw new Error(`${what}: ${text}`)
}

const labelsOf = (text: string): Record<string, string> => {
  const labels: Record<string, string> = {}
  for (let rest = text; rest !== "";) {
    const [whole = "", key = "", value = ""] = label.exec(rest) ?? refuse("not a label", rest)
    if (key in labels) refuse("a label twice", text)
    labels[key] = value.replace(/\\(.)/g, (_, character: string) => (character === "n" ? "\n" : character))
    rest = rest.slice(whole.length)
  }
  return labels
}

const numberOf = (text: string): number => {
  if (!number.test(text)) refuse("not a number", text)
  return text === "+Inf" ? Infinity : text === "-Inf" ? -Infinity : Number(text)
}

const belongs = (series: string, family: string, type: string): boolean =>
  type === "histogram"
    ? [`${family}_bucket`, `${family}_sum`, `${family}_count`].includes(series)
    : series === family && type !== "summary"

const others = ({ labels }: Series): string =>
  JSON.stringify(
    Object.entries(labels)
      .filter(([key]) => key !== "le")
      .toSorted()
  )

/** Buckets rise, end with everything, and there is a sum and a count for each. */
const checkHistogram = (family: string, series: ReadonlyArray<Series>): void => {
  for (const key of new Set(series.map(others))) {
    const own = series.filter((one) => others(one) === key)
    const buckets = own.filter(({ name }) => name === `${family}_bucket`)
    const bounds = buckets.map(({ labels }) => numberOf(labels["le"] ?? refuse("a bucket without le", family)))
    const counts = buckets.map(({ value }) => value)
    if (bounds.at(-1) !== Infinity) refuse("no bucket +Inf", family)
    if (bounds.some((bound, at) => at > 0 && bound <= (bounds[at - 1] ?? 0))) refuse("buckets out of order", family)
    if (counts.some((count, at) => at > 0 && count < (counts[at - 1] ?? 0))) refuse("buckets that fall", family)
    const count = own.filter((one) => one.name === `${family}_count`)
    const sum = own.filter((one) => one.name === `${family}_sum`)
    if (count.length !== 1 || sum.length !== 1 || count[0]?.value !== counts.at(-1)) refuse("no sum or count", family)
  }
}

export const parse = (text: string): ReadonlyMap<string, Family> => {
  if (!text.endsWith("\n")) refuse("the last line does not end", text.slice(-80))
  const families = new Map<string, { type: string; help: string; series: Array<Series> }>()
  const seen = new Set<string>()
  let help: readonly [name: string, text: string] | undefined
  let current = ""
  for (const text_ of text.slice(0, -1).split("\n")) {
    const [, kind, of = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(text_) ?? []
    if (kind === "HELP") {
      if (!name.test(of)) refuse("not a name", text_)
      help = [of, rest]
    } else if (kind === "TYPE") {
      if (families.has(of)) refuse("a family twice", text_)
      if (help?.[0] !== of) refuse("a type without its help", text_)
      if (!["counter", "gauge", "histogram"].includes(rest)) refuse("an unknown type", text_)
      families.set(of, { type: rest, help: help?.[1] ?? "", series: [] })
      current = of
    } else {
      const [, of = "", labels = "", value = ""] = line.exec(text_) ?? refuse("not a line", text_)
      const family = families.get(current) ?? refuse("a series before its family", text_)
      if (!belongs(of, current, family.type)) refuse("a series of another family", text_)
      const series = { name: of, labels: labelsOf(labels), value: numberOf(value) }
      const key = `${of} ${JSON.stringify(Object.entries(series.labels).toSorted())}`
      if (seen.has(key)) refuse("a series twice", text_)
      seen.add(key)
      family.series.push(series)
    }
  }
  for (const [of, { series, type }] of families) {
    if (series.length === 0) refuse("a family without series", of)
    if (type === "histogram") checkHistogram(of, series)
    if (type === "counter" && !of.endsWith("_total")) refuse("a counter that does not end with _total", of)
  }
  return families
}

/** The value of a series with exactly these labels; undefined when there is none. */
export const valueOf = (
  families: ReadonlyMap<string, Family>,
  of: string,
  labels: Readonly<Record<string, string>> = {}
): number | undefined => {
  const wanted = JSON.stringify(Object.entries(labels).toSorted())
  for (const { series } of families.values()) {
    for (const one of series) {
      if (one.name === of && JSON.stringify(Object.entries(one.labels).toSorted()) === wanted) return one.value
    }
  }
  return undefined
}
