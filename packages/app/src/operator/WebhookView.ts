/** How webhooks and their deliveries look to people. */
import type { EventFilter } from "@muster/core/event/Event"
import type { Delivery, DeliveryOutcome } from "@muster/core/webhook/Delivery"
import type { Webhook, WebhookStatus } from "@muster/core/webhook/Webhook"
import type { DateTime } from "effect"
import type { Colour } from "../terminal/Style.ts"
import * as Table from "../terminal/Table.ts"
import * as Times from "../terminal/Times.ts"

const statusColours: Record<WebhookStatus, Colour> = { active: "green", disabled: "red" }
const outcomeColours: Record<DeliveryOutcome, Colour> = { delivered: "green", failed: "red" }

/** A webhook that fails is active, and not well. */
const statusCell = ({ consecutive_failures, status }: Webhook): Table.Cell =>
  status === "active" && consecutive_failures > 0
    ? { text: "failing", colour: "yellow" }
    : { text: status, colour: statusColours[status] }

const filterText = ({ types, ...others }: EventFilter): ReadonlyArray<string> => [
  types?.join(", ") ?? "all but job.progress",
  ...Object.entries(others).map(([name, value]) => `${name} ${value}`)
]

const columns = (now: DateTime.Utc): ReadonlyArray<Table.Column<Webhook>> => [
  { title: "ID", cut: "middle", cell: ({ id }) => id },
  { title: "STATUS", room: "fixed", cell: statusCell },
  { title: "URL", room: "flexible", cell: ({ url }) => url },
  { title: "EVENTS", room: "flexible", cell: ({ filter }) => filterText(filter).join("; ") },
  {
    title: "FAILURES",
    align: "right",
    room: "fixed",
    cell: ({ consecutive_failures }) => String(consecutive_failures)
  },
  { title: "AGE", room: "fixed", cell: ({ created_at }) => Times.age(created_at, now) }
]

export const table = (webhooks: ReadonlyArray<Webhook>, now: DateTime.Utc, canvas: Table.Canvas): string =>
  Table.table(columns(now), webhooks, canvas)

/** Everything known about a webhook; what it does not have is left out. */
export const block = (webhook: Webhook, now: DateTime.Utc, canvas: Table.Canvas): string => {
  const { failing_since, next_attempt_at } = webhook
  const shown: ReadonlyArray<readonly [name: string, value: Table.Cell | string | ReadonlyArray<string> | null]> = [
    ["id", webhook.id],
    ["url", webhook.url],
    ["description", webhook.description],
    ["status", statusCell(webhook)],
    ["status_reason", webhook.status_reason],
    ["status_changed_at", Times.exact(webhook.status_changed_at, now)],
    ["events", filterText(webhook.filter)],
    ["cursor", webhook.cursor],
    ["consecutive_failures", String(webhook.consecutive_failures)],
    ["failing_since", failing_since === null ? null : Times.exact(failing_since, now)],
    ["next_attempt_at", next_attempt_at === null ? null : Times.exact(next_attempt_at, now)],
    ["created_at", Times.exact(webhook.created_at, now)]
  ]
  return Table.block(
    shown.flatMap(([name, value]): ReadonlyArray<Table.Entry> => (value === null ? [] : [[name, value]])),
    canvas
  )
}

/** What came back, in a few words. */
export const answer = ({ error, status }: Delivery): string => error ?? `answered ${status}`

const deliveryColumns = (now: DateTime.Utc): ReadonlyArray<Table.Column<Delivery>> => [
  { title: "AT", room: "fixed", cell: ({ at }) => Times.relative(at, now) },
  { title: "OUTCOME", room: "fixed", cell: ({ outcome }) => ({ text: outcome, colour: outcomeColours[outcome] }) },
  { title: "ATTEMPT", align: "right", room: "fixed", cell: ({ attempt }) => String(attempt) },
  { title: "NOTICE", room: "fixed", cell: ({ notice }) => notice },
  { title: "EVENTS", align: "right", room: "fixed", cell: ({ events }) => String(events) },
  { title: "MS", align: "right", room: "fixed", cell: ({ duration_ms }) => String(duration_ms) },
  { title: "ANSWER", room: "flexible", cell: answer },
  { title: "DELIVERY", cut: "middle", cell: ({ id }) => id }
]

export const deliveries = (all: ReadonlyArray<Delivery>, now: DateTime.Utc, canvas: Table.Canvas): string =>
  Table.table(deliveryColumns(now), all, canvas)
