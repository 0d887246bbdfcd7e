/**
 * What must not be said of a connector's settings. Services repeat what they were sent when they refuse it, and whatever a
 * connector says ends up in jobs, in the registry and in logs.
 */

import { hidden, isSecretName } from "../../mapping/Redaction.ts"

/** Shorter ones tell nobody anything, and stand in every other word. */
const shortest = 4

/** Takes the secrets among these settings out of a text. */
export const hiding = (settings: Readonly<Record<string, string>>): ((text: string) => string) => {
  const secrets = Object.entries(settings)
    .flatMap(([name, value]) => (isSecretName(name) && value.length >= shortest ? [value] : []))
    .toSorted((a, b) => b.length - a.length)
  return (text) => secrets.reduce((said, secret) => said.replaceAll(secret, hidden), text)
}
