/**
 * What all OpenAI connectors are told: variables of the documents, and the `api_config` of a service, which goes before
 * them. Source: document 003.
 */
import { Duration, Effect, Redacted, Schema } from "effect"
import { createHash } from "node:crypto"
import * as Settings from "../Settings.ts"

/** The variables that every one of them reads. */
export const variables = {
  OPENAI_API_KEY: "${OPENAI_API_KEY}",
  OPENAI_BASE_URL: "${OPENAI_BASE_URL:-https://api.openai.com/v1}",
  OPENAI_ORG_ID: "${OPENAI_ORG_ID:-}",
  OPENAI_PROJECT_ID: "${OPENAI_PROJECT_ID:-}",
  OPENAI_MAX_RETRIES: "${OPENAI_MAX_RETRIES:-3}"
} as const

/** Of those that read no other ones of these kinds. */
export const usualVariables = {
  ...variables,
  OPENAI_TIMEOUT: "${OPENAI_TIMEOUT:-60}",
  OPENAI_MAX_CONCURRENT_JOBS: "${OPENAI_MAX_CONCURRENT_JOBS:-3}"
} as const

/** How work that goes on in the background is asked about. */
export const pollingVariables = {
  OPENAI_POLL_INTERVAL_MS: "${OPENAI_POLL_INTERVAL_MS:-5000}",
  OPENAI_POLL_TRIES: "${OPENAI_POLL_TRIES:-60}"
} as const

export const seconds = Settings.integer(1, 3_600)
export const concurrency = Settings.integer(1, 1_000)

const name = Schema.String.check(Schema.isPattern(/^[\w.:/-]{0,256}$/, { expected: "a name" }))
export const model = Schema.String.check(Schema.isPattern(/^[\w.:/@-]{1,256}$/, { expected: "the name of a model" }))

export const fields = {
  OPENAI_API_KEY: Settings.token,
  OPENAI_BASE_URL: Settings.httpUrl,
  OPENAI_ORG_ID: name,
  OPENAI_PROJECT_ID: name,
  OPENAI_MAX_RETRIES: Settings.integer(0, 10)
}

export const usualFields = { ...fields, OPENAI_TIMEOUT: seconds, OPENAI_MAX_CONCURRENT_JOBS: concurrency }

export const pollingFields = {
  OPENAI_POLL_INTERVAL_MS: Settings.integer(10, 600_000),
  OPENAI_POLL_TRIES: Settings.integer(1, 100_000)
}

/** How an `api_config` calls what these variables say. */
const usualNames: Readonly<Record<string, string>> = {
  api_key: "OPENAI_API_KEY",
  base_url: "OPENAI_BASE_URL",
  max_retries: "OPENAI_MAX_RETRIES",
  timeout: "OPENAI_TIMEOUT",
  max_concurrent_jobs: "OPENAI_MAX_CONCURRENT_JOBS"
}

/** Decodes settings; `names` are what an `api_config` may say beside the usual ones, or of other variables. */
export const decode = <S extends Schema.Constraint & { readonly DecodingServices: never }>(
  connector: string,
  schema: S,
  settings: Readonly<Record<string, string>>,
  names: Readonly<Record<string, string>> = {}
) => {
  const said = Object.entries({ ...usualNames, ...names }).flatMap(([key, variable]) => {
    const value = settings[key]
    return value === undefined ? [] : [[variable, value] as const]
  })
  return Settings.decode(connector, schema, { ...settings, ...Object.fromEntries(said) })
}

/** How the service is reached. */
export interface Account {
  readonly apiKey: Redacted.Redacted
  readonly baseUrl: string
  readonly organization: string | null
  readonly project: string | null
  /** For an answer, and between two parts of one that is streamed. */
  readonly timeout: Duration.Duration
  /** Tries after the first one of requests that cannot be paid for twice. */
  readonly maxRetries: number
  /** By which workers of the same key know their shared budget. */
  readonly budget: string
}

export const account = (settings: Schema.Struct.Type<typeof fields>, timeoutSeconds: number): Effect.Effect<Account> =>
  Effect.sync(() => ({
    apiKey: settings.OPENAI_API_KEY,
    baseUrl: settings.OPENAI_BASE_URL,
    organization: settings.OPENAI_ORG_ID || null,
    project: settings.OPENAI_PROJECT_ID || null,
    timeout: Duration.seconds(timeoutSeconds),
    maxRetries: settings.OPENAI_MAX_RETRIES,
    budget: createHash("sha256")
      .update(`${settings.OPENAI_BASE_URL}\n${Redacted.value(settings.OPENAI_API_KEY)}`)
      .digest("hex")
      .slice(0, 32)
  }))
