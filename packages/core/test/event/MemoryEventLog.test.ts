import { Layer } from "effect"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import * as MemoryTime from "../job/MemoryTime.ts"
import { suite } from "./EventLogSuite.ts"

suite("memory", Layer.merge(MemoryJobQueue.layer, MemoryTime.layer))
