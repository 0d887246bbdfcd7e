/**
 * How the database tells kinds of workers apart: by a hash of their capability signature, which has no bound in length.
 * Machines are hashed too, because a label may hold what no text of PostgreSQL can.
 */
import { canonical } from "@muster/core/Json"
import { signatureOf } from "@muster/core/worker/CapabilitySignature"
import type { Capabilities } from "@muster/core/worker/Worker"
import { createHash } from "node:crypto"

/** 132 bits: nobody finds two texts with the same hash. */
const hash = (text: string): string => createHash("sha256").update(text).digest("base64url").slice(0, 22)

export const keyOfMachine = (machine: string): string => hash(canonical(machine))

/** Workers with equal keys match the same jobs, except where a job names a machine. */
export const keysOf = (capabilities: Capabilities) => {
  const { machine, text } = signatureOf(capabilities)
  return { capability_key: hash(text), machine_key: machine === "" ? null : keyOfMachine(machine) }
}

/** What all workers of this one's kind offer. */
export const offerOf = (capabilities: Capabilities): Capabilities => JSON.parse(signatureOf(capabilities).text)
