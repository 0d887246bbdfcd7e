import { assert, describe, it } from "@effect/vitest"
import * as SchemaIssues from "@muster/core/SchemaIssues"
import { Effect, Schema } from "effect"

const Image = Schema.Union([
  Schema.NonEmptyString,
  Schema.Struct({ url: Schema.NonEmptyString }),
  Schema.Struct({ asset: Schema.String.check(Schema.isMaxLength(5)), of: Schema.optionalKey(Schema.Int) })
])

const Order = Schema.Struct({
  steps: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10 }))),
  images: Schema.optionalKey(Schema.Array(Image)),
  labels: Schema.optionalKey(
    Schema.Record(Schema.String.check(Schema.isPattern(/^[a-z]+$/)), Schema.String).annotate({
      messageUnexpectedKey: "Expected a name"
    })
  )
})

const told = (value: unknown) =>
  Schema.decodeUnknownEffect(Order, { errors: "all", onExcessProperty: "error" })(value).pipe(
    Effect.flip,
    Effect.map((error) => SchemaIssues.describe(error, "the order"))
  )

describe("what a schema finds wrong", () => {
  it.effect.each([
    ["is told with its path", { steps: 0 }, "steps: Expected a value between 1 and 10"],
    ["is told of the value itself", 5, "the order: Expected object"],
    ["names fields that are not known", { step: 5 }, "step: Unknown field"],
    ["leaves keys that may be any name to the schema", { labels: { A: "x" } }, "labels.A: Expected a name"],
    [
      "is told of the form that was meant",
      { images: [{ asset: "longer" }] },
      "images[0].asset: Expected a value with a length of at most 5"
    ],
    [
      "is told of all forms when it fits none",
      { images: [{ file: "x" }] },
      "images[0].file: Unknown field; images[0].url: Missing key; and 1 more"
    ],
    ["stands for the rest", { a: 1, b: 1, c: 1, d: 1 }, "a: Unknown field; b: Unknown field; and 2 more"],
    [
      "quotes names that are none, and cuts them",
      { [`${" x".repeat(100)}`]: 1 },
      `["${" x".repeat(64)}"]: Unknown field`
    ]
  ])("%s", ([, value, message]) => Effect.map(told(value), (text) => assert.strictEqual(text, message)))
})
