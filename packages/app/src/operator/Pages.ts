/** Lists that the server hands out in pages, read as one. */
import { Effect, Predicate } from "effect"
import type { Answer } from "./Server.ts"

export interface PageRequest {
  readonly limit: number
  readonly cursor?: string
}

/** What the pages held together. */
export interface Collected<A> {
  readonly items: ReadonlyArray<A>
  /** The same as the server wrote them. */
  readonly bodies: ReadonlyArray<unknown>
  /** Where the list goes on; null when nothing follows. */
  readonly next_cursor: string | null
}

/**
 * Follows the cursors until `wanted` items are there or nothing follows. A page may be short, even empty, although
 * more follows: only its cursor says so.
 */
export const collect = Effect.fnUntraced(function* <
  Key extends string,
  Page extends { readonly [K in Key]: ReadonlyArray<unknown> } & { readonly next_cursor: string | null },
  E,
  R
>(
  key: Key,
  options: { readonly wanted: number; readonly perPage: number; readonly from: string | undefined },
  page: (request: PageRequest) => Effect.Effect<Answer<Page>, E, R>
) {
  const items: Array<Page[Key][number]> = []
  const bodies: Array<unknown> = []
  let cursor: string | null | undefined = options.from
  do {
    const limit = Math.min(options.perPage, options.wanted - items.length)
    const { body, value }: Answer<Page> = yield* page({ limit, ...(cursor === undefined ? {} : { cursor }) })
    for (const item of value[key]) items.push(item)
    if (Predicate.hasProperty(body, key) && Array.isArray(body[key])) {
      for (const item of body[key] as ReadonlyArray<unknown>) bodies.push(item)
    }
    cursor = value.next_cursor
  } while (cursor !== null && items.length < options.wanted)
  const collected: Collected<Page[Key][number]> = { items, bodies, next_cursor: cursor }
  return collected
})
