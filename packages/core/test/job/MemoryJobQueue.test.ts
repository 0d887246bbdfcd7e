import { Layer } from "effect"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { suite } from "./JobQueueSuite.ts"
import * as MemoryTime from "./MemoryTime.ts"

suite("memory", Layer.merge(MemoryJobQueue.layer, MemoryTime.layer))
