/** What a look at one part of the broker has found: how it is, in a sentence, and what to do when it is not well. */
import { Schema } from "effect"

/** A warning is worth a look and stops nothing; an error keeps the broker from doing what it promises. */
export const Verdict = Schema.Literals(["ok", "warning", "error"])
export type Verdict = typeof Verdict.Type

export const Finding = Schema.Struct({
  /** What was looked at: an area and a part of it, such as `redis.eviction`. */
  name: Schema.String,
  verdict: Verdict,
  /** In words that name no credential. */
  detail: Schema.String,
  /** What to do, with the command where there is one; null when nothing needs to be done. */
  fix: Schema.NullOr(Schema.String)
})
export type Finding = typeof Finding.Type

/** A finding before it is known what was looked at. */
export type Found = Omit<Finding, "name">

export const ok = (detail: string): Found => ({ verdict: "ok", detail, fix: null })

export const warning = (detail: string, fix: string): Found => ({ verdict: "warning", detail, fix })

export const error = (detail: string, fix: string): Found => ({ verdict: "error", detail, fix })
