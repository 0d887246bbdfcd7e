import * as MemoryWebhookStore from "@muster/core/webhook/internal/MemoryWebhookStore"
import { TestClock } from "effect/testing"
import * as WebhookStoreSuite from "./WebhookStoreSuite.ts"

WebhookStoreSuite.suite("memory", { layer: MemoryWebhookStore.layer, passTime: TestClock.adjust })
