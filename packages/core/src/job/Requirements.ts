/**
 * What a job needs of the worker that runs it, beyond its job type. The schema is closed: a clause that nobody reads
 * would be a promise that nobody keeps. What each clause means stands in `Matching`.
 */
import { Effect, Schema, SchemaIssue } from "effect"
import { Name } from "../Identifier.ts"
import * as SchemaIssues from "../SchemaIssues.ts"
import { atMost, Hardware, label, modelName } from "../worker/Worker.ts"

/**
 * Bounds of one job's requirements. They are the name of its class in a store, and each kind of workers is compared with
 * all of them.
 */
const longest = { labels: 100, models: 100, values: 100, text: 16_384 }

interface Range {
  readonly gte?: number
  readonly gt?: number
  readonly lte?: number
  readonly lt?: number
}

/** Whether some number lies in the range; one that holds none would leave its job waiting for ever. */
const holdsNumbers = ({ gt = -Infinity, gte = -Infinity, lt = Infinity, lte = Infinity }: Range): boolean =>
  gt < lt && gt < lte && gte < lt && gte <= lte

const range = Schema.Struct({
  gte: Schema.optionalKey(Schema.Finite),
  gt: Schema.optionalKey(Schema.Finite),
  lte: Schema.optionalKey(Schema.Finite),
  lt: Schema.optionalKey(Schema.Finite)
}).check(
  Schema.makeFilter((bounds: Range) => Object.keys(bounds).length > 0, {
    expected: "at least one of gte, gt, lte and lt"
  }).abort(),
  Schema.makeFilter(holdsNumbers, { expected: "a range that some number lies in" })
)

const formless = new SchemaIssue.InvalidValue({
  expected: `a value, a list of values, a range such as {"gte": 24}, or {"not": value}`
})

/** A union says what is wrong with each of its members; this says what is wrong with the one that was meant. */
const ofTheFormMeant = (issue: SchemaIssue.Issue): SchemaIssue.Issue => {
  if (issue._tag !== "AnyOf") return issue
  const [meant, ...others] = SchemaIssues.ofTheFormsMeant(issue)
  return meant !== undefined && others.length === 0 ? meant : formless
}

/** One value, all of several values, a range of numbers, or anything but a value. */
export const LabelCondition = Schema.Union([
  label,
  Schema.Array(label).check(Schema.isMinLength(1), atMost(longest.values, "values")),
  Schema.Struct({ not: label }),
  range
]).pipe(Schema.catchDecoding((issue) => Effect.fail(ofTheFormMeant(issue))))
export type LabelCondition = typeof LabelCondition.Type

const LabelConditions = Schema.Record(Name, LabelCondition)
  .annotate({ messageUnexpectedKey: "Expected a name: letters, digits and . _ : @ - only, at most 128 of them" })
  .check(Schema.isMaxProperties(longest.labels, { expected: `at most ${longest.labels} labels` }))

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
}).check(
  Schema.makeFilter((requirements) => JSON.stringify(requirements).length <= longest.text, {
    expected: `at most ${longest.text} characters of JSON`
  })
)
export type Requirements = typeof Requirements.Type
