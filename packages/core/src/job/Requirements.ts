/**
 * What a job needs of the worker that runs it, beyond its job type. The schema is closed: a clause that nobody reads
 * would be a promise that nobody keeps. What each clause means stands in `Matching`.
 */
import { Schema } from "effect"
import { Name } from "../Identifier.ts"
import { atMost, Hardware, label, modelName } from "../worker/Worker.ts"

/** Bounds of one job's requirements: each worker kind is compared with all of them. */
const longest = { labels: 100, models: 100, values: 100 }

const range = Schema.Struct({
  gte: Schema.optionalKey(Schema.Finite),
  gt: Schema.optionalKey(Schema.Finite),
  lte: Schema.optionalKey(Schema.Finite),
  lt: Schema.optionalKey(Schema.Finite)
}).check(
  Schema.makeFilter((bounds) => Object.keys(bounds).length > 0, { expected: "at least one of gte, gt, lte and lt" })
)

/** One value, all of several values, a range of numbers, or anything but a value. */
export const LabelCondition = Schema.Union([
  label,
  Schema.Array(label).check(Schema.isMinLength(1), atMost(longest.values, "values")),
  Schema.Struct({ not: label }),
  range
])
export type LabelCondition = typeof LabelCondition.Type

const LabelConditions = Schema.Record(Name, LabelCondition).check(
  Schema.isMaxProperties(longest.labels, { expected: `at most ${longest.labels} labels` })
)

/** How far the worker must keep customers apart; `loose` and `none` ask for nothing. */
export const CustomerIsolation = Schema.Literals(["strict", "loose", "none"])

export const Requirements = Schema.Struct({
  /** The least of each that the worker must have. */
  hardware: Schema.optionalKey(Hardware),
  /** The worker must hold every one. */
  models: Schema.optionalKey(Schema.Array(modelName).check(atMost(longest.models, "models"))),
  labels: Schema.optionalKey(LabelConditions),
  /** Conditions that must not hold. */
  exclude: Schema.optionalKey(LabelConditions),
  customer_isolation: Schema.optionalKey(CustomerIsolation)
})
export type Requirements = typeof Requirements.Type
