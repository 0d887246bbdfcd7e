/** The contract of the feed, on every log. */
import { describe } from "@effect/vitest"
import type { QueueLayer } from "../job/QueueTest.ts"
import { followSuite } from "./FollowSuite.ts"

export const suite = (name: string, layer: QueueLayer): void => {
  describe(`EventFeed (${name})`, () => {
    describe("follow", () => {
      followSuite(layer)
    })
  })
}
