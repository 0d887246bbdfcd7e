/** How many entries a list answers with, at most: a whole number in the query of a list. */
import { Schema } from "effect"

/** From 1 to `maximum`; when the query says nothing, the route takes `fallback`. */
export const limit = (options: { readonly fallback: number; readonly maximum: number }) =>
  Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: options.maximum })).annotate({
      description: `At most this many; ${options.fallback} by default.`
    })
  )
