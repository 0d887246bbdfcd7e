/** How long a request may be held until something has come about: `30s`. */
import * as DurationText from "@muster/core/DurationText"
import { Duration, Schema, SchemaTransformation } from "effect"

export const longestWait = Duration.minutes(5)

const millis = (text: string): number => DurationText.parse(text) ?? 0

export const Wait = Schema.String.check(
  Schema.makeFilter((text: string) => DurationText.parse(text) !== undefined, {
    expected: DurationText.expected
  }).abort(),
  Schema.makeFilter((text) => millis(text) <= Duration.toMillis(longestWait), { expected: "5m at most" })
).pipe(
  Schema.decodeTo(
    Schema.Duration,
    SchemaTransformation.transform({
      decode: (text) => Duration.millis(millis(text)),
      encode: (duration) => `${Math.ceil(Duration.toMillis(duration))}ms`
    })
  )
)
