/** A short name for a long text, the same in every process. */
import { createHash } from "node:crypto"

/** 160 bits of the text's SHA-256, in the alphabet of URLs. */
export const hashOf = (text: string): string =>
  createHash("sha256").update(text).digest().subarray(0, 20).toString("base64url")
