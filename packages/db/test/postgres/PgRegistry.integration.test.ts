import * as AcceptingSuite from "../../../core/test/worker/AcceptingSuite.ts"
import * as GroupsSuite from "../../../core/test/worker/GroupsSuite.ts"
import * as HeartbeatStoreSuite from "../../../core/test/worker/HeartbeatStoreSuite.ts"
import * as WorkerChecksSuite from "../../../core/test/worker/WorkerChecksSuite.ts"
import * as WorkerRepositorySuite from "../../../core/test/worker/WorkerRepositorySuite.ts"
import { passTime, registry } from "./pgRegistry.ts"

const postgres = { layer: registry, passTime }

WorkerRepositorySuite.suite("postgres", postgres)
WorkerChecksSuite.suite("postgres", postgres)
HeartbeatStoreSuite.suite("postgres", postgres)
AcceptingSuite.suite("postgres", postgres)
GroupsSuite.suite("postgres", postgres)
