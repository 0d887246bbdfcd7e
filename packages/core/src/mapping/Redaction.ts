/**
 * A mapping without what its author should not have written into it: secrets belong into variables, and somebody will
 * write one down all the same. What is shown are names of variables, never what stands for them.
 */
import type { ServiceMapping } from "./ServiceMapping.ts"

/** What stands for a secret. */
export const hidden = "(redacted)"

/** Names of what is likely to be secret. */
const secretName = /key|token|secret|passw|credential|auth(?!ors?$)/i

export const isSecretName = (name: string): boolean => secretName.test(name)

const variable = /\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/g

/** Whether a text is variables and nothing else, so that it tells nothing. */
const isOnlyVariables = (text: string): boolean =>
  text.replace(variable, (_match, _name, fallback: string | undefined) => fallback ?? "").trim() === ""

/** Of a text whose name tells nothing: defaults of secret variables, credentials in URLs, and arguments such as `--token=…`. */
const withoutSecrets = (text: string): string =>
  text
    .replace(variable, (match, name: string, fallback: string | undefined) =>
      fallback !== undefined && fallback !== "" && isSecretName(name) ? `\${${name}:-${hidden}}` : match
    )
    .replace(/(:\/\/[^\s/:@${}]*):[^\s/@]+@/g, `$1:${hidden}@`)
    .replace(/([\w-]*(?:key|token|secret|passw)[\w-]*=)(?!\$\{)[^\s&]+/gi, `$1${hidden}`)

const setting = (name: string, value: string | number | boolean): string | number | boolean => {
  if (!isSecretName(name)) return typeof value === "string" ? withoutSecrets(value) : value
  // `max_tokens: 4096` is no secret.
  return typeof value === "string" && !isOnlyVariables(value) ? hidden : value
}

/** The argument after `--token` is what it introduces. */
const words = (command: ReadonlyArray<string>): ReadonlyArray<string> =>
  command.map((word, at) => {
    const before = command[at - 1] ?? ""
    return before.startsWith("-") && !before.includes("=") && isSecretName(before) && !isOnlyVariables(word)
      ? hidden
      : withoutSecrets(word)
  })

/** Templates stay as they are written; literal secrets are taken out. */
export const redacted = (mapping: ServiceMapping): ServiceMapping => ({
  ...mapping,
  services: Object.fromEntries(
    Object.entries(mapping.services).map(([name, service]) => [
      name,
      {
        ...service,
        ...(service.command === undefined
          ? {}
          : {
              command: typeof service.command === "string" ? withoutSecrets(service.command) : words(service.command)
            }),
        ...(service.api_config === undefined
          ? {}
          : {
              api_config: Object.fromEntries(
                Object.entries(service.api_config).map(([key, value]) => [key, setting(key, value)])
              )
            }),
        ...(service.telemetry_logs === undefined
          ? {}
          : { telemetry_logs: service.telemetry_logs.map((log) => ({ ...log, path: withoutSecrets(log.path) })) })
      }
    ])
  )
})
