import { suite } from "../../../core/test/event/EventLogSuite.ts"
import { layer } from "./RedisQueueTest.ts"

suite("redis", layer)
