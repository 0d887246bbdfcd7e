import { suite } from "../../../core/test/event/EventFeedSuite.ts"
import { layer } from "./RedisQueueTest.ts"

suite("redis", layer)
