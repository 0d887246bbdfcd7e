/** The contract of the feed, on every log. */
import { describe } from "@effect/vitest"
import type { QueueLayer } from "../job/QueueTest.ts"
import { followSuite } from "./FollowSuite.ts"
import { waiterSuite } from "./WaiterSuite.ts"
import { watchSuite } from "./WatchSuite.ts"

/** Registers the suite for one layer; `stories` are the random ones that are tried. */
export const suite = (name: string, layer: QueueLayer, stories = 25): void => {
  describe(`EventFeed (${name})`, () => {
    describe("follow", () => {
      followSuite(layer)
    })
    describe("watch", () => {
      watchSuite(layer)
    })
    describe("stories", () => {
      waiterSuite(layer, stories)
    })
  })
}
