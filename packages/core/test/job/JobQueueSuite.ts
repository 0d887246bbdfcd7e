/**
 * The contract of the queue port: every promise of its docstrings, run against every layer. A layer that passes may
 * stand in for any other.
 */
import { describe } from "@effect/vitest"
import { attemptSuite } from "./AttemptSuite.ts"
import { batchSuite } from "./BatchSuite.ts"
import { listSuite } from "./ListSuite.ts"
import { orderSuite } from "./OrderSuite.ts"
import type { QueueLayer } from "./QueueTest.ts"
import { retrySuite } from "./RetrySuite.ts"
import { submitSuite } from "./SubmitSuite.ts"
import { tickSuite } from "./TickSuite.ts"

/** Registers the suite for one layer, which is built anew for every test. */
export const suite = (name: string, layer: QueueLayer): void => {
  describe(`JobQueue (${name})`, () => {
    describe("submit", () => {
      submitSuite(layer)
    })
    describe("submit many", () => {
      batchSuite(layer)
    })
    describe("order", () => {
      orderSuite(layer)
    })
    describe("attempt", () => {
      attemptSuite(layer)
    })
    describe("retry by hand", () => {
      retrySuite(layer)
    })
    describe("time", () => {
      tickSuite(layer)
    })
    describe("list", () => {
      listSuite(layer)
    })
  })
}
