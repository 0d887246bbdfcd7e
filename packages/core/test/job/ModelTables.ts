/** What the random commands to a queue speak of by name. */
import { Duration } from "effect"
import type { Retry } from "@muster/core/job/internal/JobQueue"
import type { JobError } from "@muster/core/job/Job"
import type { Requirements } from "@muster/core/job/Requirements"
import type { Capabilities } from "@muster/core/worker/Worker"

/** What jobs may need, by name. */
export const needs: Record<string, Requirements> = {
  nothing: {},
  memory: { hardware: { gpu_memory_gb: 24 } },
  model: { models: ["sdxl"] },
  gold: { labels: { tier: "gold" } },
  "not in us": { exclude: { region: "us" } },
  "on m1": { labels: { machine_id: "m1" } },
  apart: { customer_isolation: "strict" }
}

/** What workers may offer beside job types, by name; which one changes from claim to claim. */
export const offers: Record<string, Omit<Capabilities, "job_types">> = {
  plain: {},
  big: { hardware: { gpu_memory_gb: 24.5 }, models: ["sdxl", "flux"] },
  gold: { labels: { tier: ["gold", "silver"], region: "us" } },
  m1: { labels: { machine_id: "m1" } },
  m2: { labels: { machine_id: "m2" } },
  "allows c1": { customers: { allow: ["c1"] } },
  "denies c1": { customers: { deny: ["c1"] } },
  "pinned to p1": { workflow_id: "p1" },
  all: {
    hardware: { gpu_memory_gb: 80 },
    models: ["sdxl"],
    labels: { tier: "gold", machine_id: "m1" },
    customers: { isolation: "strict" }
  }
}

/** How a report may end an attempt that failed. */
export const failures: Record<string, { readonly error: JobError; readonly retry: Retry | null }> = {
  "give up": { error: { kind: "Timeout", message: "late" }, retry: null },
  retry: { error: { kind: "Timeout", message: "late" }, retry: { delay: Duration.zero, usesRetry: true } },
  "retry later": {
    error: { kind: "Rejected", message: "no" },
    retry: { delay: Duration.seconds(15), usesRetry: true }
  },
  "retry free": { error: { kind: "RateLimited", message: "slow" }, retry: { delay: Duration.zero, usesRetry: false } },
  "retry elsewhere": {
    error: { kind: "ResourceExhausted", message: "full" },
    retry: { delay: Duration.zero, usesRetry: true, elsewhere: true }
  }
}
