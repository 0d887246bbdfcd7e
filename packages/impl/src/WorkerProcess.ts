/**
 * A worker as a process of its own: it registers and beats over HTTP, claims from the queue in Redis, and never opens
 * the registry's store.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as JobScheduler from "@muster/core/job/JobScheduler"
import type { WorkerId } from "@muster/core/worker/Worker"
import * as WorkerAgent from "@muster/core/worker/WorkerAgent"
import { type Duration, Effect, Layer, type Redacted } from "effect"
import { readlinkSync } from "node:fs"
import { hostname } from "node:os"
import * as HttpRegistry from "./HttpRegistry.ts"
import * as WorkerConnectors from "./WorkerConnectors.ts"
import * as WorkerLayers from "./WorkerLayers.ts"

export interface WorkerProcessOptions {
  readonly workerId: WorkerId
  /** The worker type that CONNECTORS names. */
  readonly workerType: string
  readonly url: string
  readonly token: Redacted.Redacted | undefined
  readonly redisUrl: Redacted.Redacted
  readonly region: string
  readonly capacity: number
  readonly machineId: string | undefined
  readonly beatInterval: Duration.Duration
  /** The longest result of a job, in characters of JSON. */
  readonly maxResultLength: number
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** The space in which a pid means one process: two containers can share a host name and each have a process 1. */
const pidNamespace = (): string => {
  try {
    return readlinkSync("/proc/self/ns/pid").replace(/\D/g, "")
  } catch {
    // Not Linux: one space for the whole host.
    return "0"
  }
}

const host = `${
  hostname()
    .replace(/[^A-Za-z0-9-]/g, "-")
    .replace(/^-+/, "")
    .slice(0, 100) || "host"
}.${pidNamespace()}`

/** Where this process runs, its pid, and a token of this run: two runs never share an instance. */
const instance_id = `${host}:${process.pid}:${globalThis.crypto.randomUUID().slice(0, 8)}`

/** Whether the process of an instance has certainly ended: its pid, in our own space, is free, or ours now. */
const isGone = (instance: string): boolean => {
  const [where, pid] = instance.split(":")
  if (where !== host || pid === undefined || !/^[1-9]\d*$/.test(pid)) return false
  if (Number(pid) === process.pid) return true
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH"
  }
}

/** Runs the worker until it is interrupted. Fails when it is configured wrongly or a twin of it lives. */
export const workerProcess = (options: WorkerProcessOptions) =>
  Effect.gen(function* () {
    const connectors = yield* WorkerConnectors.acquire(options.workerType, options.environment)
    yield* JobScheduler.startScheduledJobs
    return yield* WorkerAgent.run({
      registration: {
        id: options.workerId,
        region: options.region,
        capacity: options.capacity,
        capabilities: { job_types: [...connectors.keys()] },
        metadata: {
          worker_type: options.workerType,
          ...(options.machineId === undefined ? {} : { machine_id: options.machineId })
        },
        instance_id
      },
      connectors,
      beatInterval: options.beatInterval,
      isGone,
      maxResultLength: options.maxResultLength
    })
  }).pipe(
    Effect.scoped,
    Effect.provide(
      Layer.mergeAll(
        WorkerLayers.redisQueue(options.redisUrl),
        HttpRegistry.layer(options).pipe(Layer.provide(NodeHttpClient.layerUndici))
      )
    )
  )
