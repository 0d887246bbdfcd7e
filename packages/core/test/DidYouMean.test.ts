import { assert, describe, it } from "@effect/vitest"
import { didYouMean, distance, unlikeness } from "@muster/core/DidYouMean"

describe("DidYouMean", () => {
  it("counts slips, a swap of two neighbours as one", () => {
    for (const [a, b, slips] of [
      ["", "", 0],
      ["", "abc", 3],
      ["abc", "abc", 0],
      ["abc", "ab", 1],
      ["abc", "abd", 1],
      ["abc", "acb", 1],
      ["ca", "abc", 3],
      ["kitten", "sitting", 3],
      ["flux", "flxu-dev", 5]
    ] as const) {
      assert.strictEqual(distance(a, b), slips, `${a} ${b}`)
      assert.strictEqual(distance(b, a), slips, `${b} ${a}`)
    }
  })

  it("gives up where the answer does not matter", () => {
    assert.strictEqual(distance("aaaaaaaa", "bbbbbbbb", 2), 3)
    assert.strictEqual(distance("a", "abcdefgh", 2), 3)
    assert.strictEqual(distance("simulation", "simulatoin", 2), 1)
  })

  it("guesses what was meant, the likeliest first", () => {
    const known = [
      "simulationx",
      "simulation-http",
      "comfyui",
      "comfyui_remote",
      "openai_text",
      "openai_image",
      "a1111"
    ]
    assert.deepStrictEqual(didYouMean("simulation-x", known), ["simulationx", "simulation-http"].slice(0, 1))
    assert.deepStrictEqual(didYouMean("simulation", known), ["simulationx", "simulation-http"])
    assert.deepStrictEqual(didYouMean("ComfyUI-Remote", known), ["comfyui_remote", "comfyui"])
    assert.deepStrictEqual(didYouMean("openai_txet", known), ["openai_text"])
    assert.deepStrictEqual(didYouMean("a111", known), ["a1111"])
    assert.deepStrictEqual(didYouMean("replicate", known), [])
    assert.deepStrictEqual(didYouMean("comfyui", ["comfyui"]), [])
    assert.deepStrictEqual(didYouMean("", known), [])
    assert.deepStrictEqual(didYouMean("x", ["y", "xy"]), [])
  })

  it("costs little among very many names", () => {
    const many = Array.from({ length: 1_000_000 }, (_, at) => `model-${at}`)
    const from = performance.now()
    assert.isAtMost(didYouMean("model-1x", many).length, 3)
    assert.isBelow(performance.now() - from, 30_000)
  })

  it("says how unlike names are, whatever their case and dashes", () => {
    assert.strictEqual(unlikeness("ComfyUI_Remote", "comfyui-remote"), 0)
    assert.strictEqual(unlikeness("abc", "xyz"), 1)
    assert.strictEqual(unlikeness("", ""), 0)
    assert.isBelow(unlikeness("simulation", "simulationx"), unlikeness("simulation", "openai_text"))
  })
})
