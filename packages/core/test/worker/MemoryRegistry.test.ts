import * as MemoryRegistry from "@muster/core/worker/internal/MemoryRegistry"
import { TestClock } from "effect/testing"
import * as AcceptingSuite from "./AcceptingSuite.ts"
import * as GroupsSuite from "./GroupsSuite.ts"
import * as HeartbeatStoreSuite from "./HeartbeatStoreSuite.ts"
import * as OutboxSuite from "./OutboxSuite.ts"
import * as WorkerChecksSuite from "./WorkerChecksSuite.ts"
import * as WorkerRepositorySuite from "./WorkerRepositorySuite.ts"

const memory = { layer: MemoryRegistry.layer, passTime: TestClock.adjust }

WorkerRepositorySuite.suite("memory", memory)
WorkerChecksSuite.suite("memory", memory)
HeartbeatStoreSuite.suite("memory", memory)
AcceptingSuite.suite("memory", memory)
GroupsSuite.suite("memory", memory)
OutboxSuite.suite("memory", memory)
