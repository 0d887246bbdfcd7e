import * as LabelText from "@muster/app/operator/LabelText"
import type { LabelCondition } from "@muster/core/job/Requirements"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Result, Schema } from "effect"

const Value = Schema.Union([
  Schema.String,
  Schema.Literals(["", "true", "4", "1.10", 'a"b', "a,b", '"', "=", "1e999", "-0", " 7"]),
  Schema.Finite,
  Schema.Boolean
])
const Condition = Schema.Union([
  Value,
  Schema.Tuple([Value, Value, Value]),
  Schema.Struct({ not: Value }),
  Schema.Struct({ gte: Schema.Finite }),
  Schema.Struct({ lt: Schema.Finite })
])

describe("LabelText", () => {
  it.prop("reads what it prints", { condition: Arbitrary.schema(Condition) }, ({ condition }) => {
    const text = LabelText.print("name", condition as LabelCondition)
    assert.deepStrictEqual(
      LabelText.parse(text),
      // There is no negative zero in JSON.
      Result.succeed({ name: "name", condition: JSON.parse(JSON.stringify(condition)) as LabelCondition })
    )
  })

  it("prints the way people write", () => {
    const printed: ReadonlyArray<readonly [LabelCondition, string]> = [
      ["gold", "v=gold"],
      ["two words", "v=two words"],
      [4, "v=4"],
      ["4", 'v="4"'],
      [true, "v=true"],
      ["true", 'v="true"'],
      ["a,b", 'v="a,b"'],
      [["a", 4, "b,c"], 'v=a,4,"b,c"'],
      [{ not: "c" }, "v!=c"],
      [{ gte: 24, lt: 80 }, "v>=24, v<80"],
      [{ gt: -1, lte: 0.5 }, "v>-1, v<=0.5"]
    ]
    for (const [condition, text] of printed) assert.strictEqual(LabelText.print("v", condition), text)
  })
})
