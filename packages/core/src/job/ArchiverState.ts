/** How far the archive is behind, as this server sees it: for whoever watches the broker. */
import { Context, type DateTime, Layer, Ref } from "effect"
import type { EventCursor } from "../event/EventCursor.ts"

export interface ArchiverReport {
  /** Whether this is the server that archives now; one of several does. */
  readonly working: boolean
  /** Jobs that have ended and are not archived; null while that is not known, and without an archive. */
  readonly jobs_behind: number | null
  /** How long ago the first of them ended, in ms. */
  readonly jobs_behind_ms: number
  /** How long ago the first event happened that is not archived, in ms. */
  readonly events_behind_ms: number
  /** Up to where the archive has events, as far as this server knows. */
  readonly events_archived_to: EventCursor | null
  /** What this server has stored since it started. */
  readonly jobs_archived: number
  readonly events_archived: number
  /** How often this server found that events were gone before the archive had them. */
  readonly gaps: number
  /** Since when the archive cannot be written, and why; null since it works again, or another server writes it. */
  readonly error: { readonly at: DateTime.Utc; readonly message: string } | null
}

export class ArchiverState extends Context.Service<ArchiverState, Ref.Ref<ArchiverReport>>()(
  "@muster/core/job/ArchiverState"
) {}

export const layer: Layer.Layer<ArchiverState> = Layer.effect(
  ArchiverState,
  Ref.make<ArchiverReport>({
    working: false,
    jobs_behind: null,
    jobs_behind_ms: 0,
    events_behind_ms: 0,
    events_archived_to: null,
    jobs_archived: 0,
    events_archived: 0,
    gaps: 0,
    error: null
  })
)
