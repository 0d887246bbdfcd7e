/**
 * The id of the prompt of an attempt, made from the attempt alone: whoever comes after a worker that died can name the
 * prompts it may have sent. The graph is part of it, because one ComfyUI may serve two queues with jobs of equal names.
 */
import type { ConnectorJob } from "@muster/core/connector/Connector"
import { canonical } from "@muster/core/Json"
import { createHash } from "node:crypto"

/** A UUID (version 8: its bits are a hash). It is the client id of the attempt's socket, too. */
export const ofAttempt = (job: Pick<ConnectorJob, "id" | "payload">, attempt: number): string => {
  const bytes = createHash("sha256")
    .update(JSON.stringify(["muster", job.id, attempt, canonical(job.payload)]))
    .digest()
    .subarray(0, 16)
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6)
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8)
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5")
}

/** Attempts before this one that are looked for at most; there are rarely more than a few. */
const mostBefore = 9

/** The prompts that this attempt may find: its own, and those of the attempts before it, the latest first. */
export const ofAttempts = (job: Pick<ConnectorJob, "id" | "payload" | "attempt">): ReadonlyArray<string> => {
  const first = Math.max(1, job.attempt - mostBefore)
  return Array.from({ length: job.attempt - first + 1 }, (_, back) => ofAttempt(job, job.attempt - back))
}
