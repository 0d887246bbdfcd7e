import { suite } from "../../../core/test/job/JobQueueSuite.ts"
import { layer } from "./RedisQueueTest.ts"

suite("redis", layer)
