/**
 * The contract of the queue port: every promise of its docstrings, run against every layer. A layer that passes may
 * stand in for any other.
 */
import { describe } from "@effect/vitest"
import { archivingSuite } from "./ArchivingSuite.ts"
import { attemptsSuite } from "./AttemptsSuite.ts"
import { batchSuite } from "./BatchSuite.ts"
import { depthSuite } from "./DepthSuite.ts"
import { elsewhereSuite } from "./ElsewhereSuite.ts"
import { eventsSuite } from "./EventsSuite.ts"
import { listSuite } from "./ListSuite.ts"
import { matchingSuite } from "./MatchingSuite.ts"
import { orderSuite } from "./OrderSuite.ts"
import type { QueueLayer } from "./QueueTest.ts"
import { renewSuite } from "./RenewSuite.ts"
import { reportSuite } from "./ReportSuite.ts"
import { retrySuite } from "./RetrySuite.ts"
import { standingSuite } from "./StandingSuite.ts"
import { submitSuite } from "./SubmitSuite.ts"
import { tickSuite } from "./TickSuite.ts"
import { wakeSuite } from "./WakeSuite.ts"

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
    describe("matching", () => {
      matchingSuite(layer)
    })
    describe("wakes", () => {
      wakeSuite(layer)
    })
    describe("standing", () => {
      standingSuite(layer)
    })
    describe("reports", () => {
      reportSuite(layer)
    })
    describe("attempts", () => {
      attemptsSuite(layer)
    })
    describe("renew", () => {
      renewSuite(layer)
    })
    describe("elsewhere", () => {
      elsewhereSuite(layer)
    })
    describe("retry by hand", () => {
      retrySuite(layer)
    })
    describe("time", () => {
      tickSuite(layer)
    })
    describe("events", () => {
      eventsSuite(layer)
    })
    describe("depth", () => {
      depthSuite(layer)
    })
    describe("archiving", () => {
      archivingSuite(layer)
    })
    describe("list", () => {
      listSuite(layer)
    })
  })
}
