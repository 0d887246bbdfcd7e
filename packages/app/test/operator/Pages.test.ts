import * as Pages from "@muster/app/operator/Pages"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"

describe("Pages", () => {
  /** A server that has `total` items and hands out pages of the given lengths, whatever limit is asked for. */
  const served = (...lengths: ReadonlyArray<number>) => {
    const requests: Array<Pages.PageRequest> = []
    let next = 0
    const page = (request: Pages.PageRequest) =>
      Effect.sync(() => {
        requests.push(request)
        const at = request.cursor === undefined ? 0 : Number(request.cursor)
        const items = Array.from({ length: lengths[at] ?? 0 }, () => next++)
        const value = { items, next_cursor: at + 1 < lengths.length ? String(at + 1) : null }
        return { value, body: { ...value, items: items.map((item) => ({ raw: item })) } }
      })
    return { requests, page }
  }

  it.effect("follows the cursors over short and empty pages to the end", () =>
    Effect.gen(function* () {
      const { page, requests } = served(2, 0, 0, 1)
      const all = yield* Pages.collect(
        "items",
        { wanted: Number.POSITIVE_INFINITY, perPage: 10, from: undefined },
        page
      )
      assert.deepStrictEqual(all, {
        items: [0, 1, 2],
        bodies: [{ raw: 0 }, { raw: 1 }, { raw: 2 }],
        next_cursor: null
      })
      assert.deepStrictEqual(requests, [
        { limit: 10 },
        { limit: 10, cursor: "1" },
        { limit: 10, cursor: "2" },
        { limit: 10, cursor: "3" }
      ])
    })
  )

  it.effect("stops with what was wanted, and says where the list goes on", () =>
    Effect.gen(function* () {
      const { page, requests } = served(1, 2, 5)
      const some = yield* Pages.collect("items", { wanted: 3, perPage: 10, from: undefined }, page)
      assert.deepStrictEqual(some.items, [0, 1, 2])
      assert.strictEqual(some.next_cursor, "2")
      assert.deepStrictEqual(requests, [{ limit: 3 }, { limit: 2, cursor: "1" }])
    })
  )

  it.effect("starts where it is told to, and asks for no more than a page may hold", () =>
    Effect.gen(function* () {
      const { page, requests } = served(9, 4)
      const rest = yield* Pages.collect("items", { wanted: 5_000, perPage: 1_000, from: "1" }, page)
      assert.lengthOf(rest.items, 4)
      assert.deepStrictEqual(requests, [{ limit: 1_000, cursor: "1" }])
    })
  )
})
