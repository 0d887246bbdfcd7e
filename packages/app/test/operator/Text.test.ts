import * as Text from "@muster/app/terminal/Text"
import { assert, describe, it } from "@effect/vitest"

const harmful = ["\u001b[2J", "\u0007", "\r\n", "\u009b31m", "\u007f", "\u202e", "\u2066", "\u2028", "\u200b", "\ud800"]

describe("Text", () => {
  it("shows every character that a terminal would obey as an escape", () => {
    assert.strictEqual(Text.visible("a\u001b[31mb\nc\td\r"), String.raw`a\u001b[31mb\nc\td\r`)
    assert.strictEqual(Text.visible("\u009bx\u202ey"), String.raw`\u009bx\u202ey`)
    for (const text of harmful) assert.match(Text.visible(text), /^[\x20-\x7e]*$/)
    assert.strictEqual(Text.visible("Grüße 你好 👩‍💻 é"), "Grüße 你好 👩‍💻 é")
  })

  it("writes JSON that is harmless and still the same document", () => {
    const value = Object.fromEntries(harmful.map((text) => [`key ${text}`, [text, { text }]]))
    const json = Text.json(value)
    assert.match(json, /^[\x20-\x7e\n]*$/)
    assert.deepStrictEqual(JSON.parse(json), value)
    assert.strictEqual(Text.json({ a: ["é"] }), '{\n  "a": [\n    "é"\n  ]\n}')
  })

  it("knows how many columns a text takes", () => {
    assert.strictEqual(Text.width("job-1"), 5)
    assert.strictEqual(Text.width("Grüße"), 5)
    assert.strictEqual(Text.width("e\u0301"), 1)
    assert.strictEqual(Text.width("你好"), 4)
    assert.strictEqual(Text.width("👩‍💻🚀"), 4)
    assert.strictEqual(Text.width("█░…"), 3)
  })

  it("cuts the middle out of names that end differently", () => {
    assert.strictEqual(Text.cutMiddle("local-worker-simulation-0", 13), "local-…tion-0")
    assert.strictEqual(Text.cutMiddle("local-worker-simulation-0", 6), "loc…-0")
    assert.strictEqual(Text.cutMiddle("abc", 3), "abc")
    for (let columns = 0; columns < 12; columns++) {
      assert.isAtMost(Text.width(Text.cutMiddle("a你e\u0301👩‍💻bcdef你你", columns)), columns)
    }
  })

  it("cuts to a number of columns, never through a character", () => {
    assert.strictEqual(Text.cut("abcdef", 6), "abcdef")
    assert.strictEqual(Text.cut("abcdef", 5), "abcd…")
    assert.strictEqual(Text.cut("你好吗", 5), "你好…")
    assert.strictEqual(Text.cut("你好吗", 4), "你…")
    assert.strictEqual(Text.cut("a👩‍💻b", 2), "a…")
    assert.strictEqual(Text.cut("ab", 1), "…")
    assert.strictEqual(Text.cut("ab", 0), "")
    for (let columns = 0; columns < 12; columns++) {
      assert.isAtMost(Text.width(Text.cut("a你e\u0301👩‍💻bcdef", columns)), columns)
    }
  })
})
