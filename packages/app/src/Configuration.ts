/**
 * The configuration of a Muster process: environment over default, read once, every problem named at once. This is
 * the only file that knows the names of the variables.
 */
import { Duration, Effect, Exit, Redacted, Runtime, Schema, SchemaIssue } from "effect"
import type { EventSettings } from "@muster/core/event/EventSettings"
import { longestPriorityStep, type QueueSettings } from "@muster/core/job/QueueSettings"
import * as DurationText from "@muster/core/DurationText"
import { Name } from "@muster/core/Identifier"
import type { WebhookSettings } from "@muster/core/webhook/WebhookSettings"
import type { AssetSettings } from "@muster/impl/ConnectorLayers"
import { isNetwork } from "@muster/impl/Networks"
import * as ShippedMapping from "@muster/impl/ShippedMapping"
import type { RegistrySettings } from "@muster/core/worker/RegistrySettings"
import { WorkerId } from "@muster/core/worker/Worker"
import { resolve } from "node:path"

const toDuration = (text: string): Duration.Duration => Duration.millis(DurationText.parse(text) ?? 0)

const duration = (shortest: Duration.Duration, longest = Duration.days(365)) =>
  Schema.String.check(
    Schema.makeFilter((text: string) => DurationText.parse(text) !== undefined, {
      expected: "a duration such as 500ms, 10s, 5m or 1h"
    }).abort(),
    Schema.makeFilter((text) => Duration.between(toDuration(text), { minimum: shortest, maximum: longest }), {
      expected: `a duration from ${Duration.format(shortest)} to ${Duration.format(longest)}`
    })
  )

const integer = (minimum: number, maximum: number) =>
  Schema.String.check(
    Schema.makeFilter((text) => /^\d+$/.test(text) && Number(text) >= minimum && Number(text) <= maximum, {
      expected: `a whole number from ${minimum} to ${maximum}`
    })
  )

const url = (...protocols: ReadonlyArray<string>) =>
  Schema.String.check(
    Schema.makeFilter((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol.slice(0, -1)), {
      expected: `a URL that starts with ${protocols.map((protocol) => `${protocol}://`).join(" or ")}`
    })
  )

/** `10.1.0.0/16, fd00::/8` as its parts. */
const toNetworks = (text: string): ReadonlyArray<string> => text.split(",").map((network) => network.trim())

const privateAddresses = Schema.String.check(
  Schema.makeFilter((text) => text === "true" || text === "false" || toNetworks(text).every(isNetwork), {
    expected: "true, false, or networks such as 10.1.0.0/16,fd00::/8"
  })
)

const toPrivateAddresses = (text: string): boolean | ReadonlyArray<string> =>
  text === "true" || (text === "false" ? false : toNetworks(text))

const shortly = Duration.millis(10)

const serverUrl = url("http", "https").check(
  Schema.makeFilter((text) => !URL.canParse(text) || (new URL(text).username === "" && new URL(text).password === ""), {
    expected: "a URL without credentials; a token goes into MUSTER_TOKEN"
  })
)

const matching = (pattern: RegExp, expected: string) => Schema.String.check(Schema.isPattern(pattern, { expected }))

/** Every variable, what it must look like, and its default. */
const variables = {
  MUSTER_HOST: { schema: Schema.NonEmptyString, default: "127.0.0.1" },
  MUSTER_PORT: { schema: integer(0, 65_535), default: "3331" },
  MUSTER_URL: { schema: serverUrl, default: "http://127.0.0.1:3331" },
  MUSTER_TOKEN: { schema: Schema.String.check(Schema.isMinLength(16)), default: undefined },
  MUSTER_QUEUE: { schema: Name, default: "default" },
  MUSTER_ACTIVATION_INTERVAL: { schema: duration(shortly), default: "10s" },
  MUSTER_STALE_INTERVAL: { schema: duration(shortly), default: "30s" },
  MUSTER_REACTIVATION_INTERVAL: { schema: duration(shortly), default: "30s" },
  MUSTER_HEARTBEAT_TIMEOUT: { schema: duration(shortly), default: "60s" },
  MUSTER_HEARTBEAT_INTERVAL: { schema: duration(shortly), default: "15s" },
  MUSTER_HEARTBEAT_HISTORY: { schema: duration(shortly), default: "1h" },
  MUSTER_LEASE: { schema: duration(Duration.millis(500)), default: "30s" },
  MUSTER_PRIORITY_STEP: { schema: duration(Duration.zero, longestPriorityStep), default: "60s" },
  MUSTER_RETENTION: { schema: duration(Duration.zero), default: "3d" },
  MUSTER_EVENT_RETENTION: { schema: duration(Duration.zero), default: "1h" },
  MUSTER_EVENT_BYTES: { schema: integer(1_024 * 1_024, 1_024 ** 4), default: "268435456" },
  MUSTER_ARCHIVE_RETENTION: { schema: duration(Duration.minutes(1), Duration.days(36_500)), default: "90d" },
  MUSTER_WEBHOOK_ALLOW_PRIVATE: { schema: privateAddresses, default: "false" },
  MUSTER_WEBHOOK_TIMEOUT: { schema: duration(Duration.millis(100), Duration.minutes(1)), default: "10s" },
  MUSTER_WEBHOOK_DISABLE_AFTER: { schema: duration(Duration.seconds(1)), default: "3d" },
  MUSTER_MAX_STREAMS: { schema: integer(1, 100_000), default: "2000" },
  MUSTER_MAX_PAYLOAD: { schema: integer(1_024, 64 * 1_024 * 1_024), default: "1048576" },
  MUSTER_MAX_ASSET: { schema: integer(1_024, 1_024 ** 4), default: "104857600" },
  MUSTER_MAPPING: { schema: Schema.NonEmptyString, default: ShippedMapping.file },
  MUSTER_WORKSPACE: { schema: Schema.NonEmptyString, default: "workspace" },
  MUSTER_FETCH_ALLOW_PRIVATE: { schema: privateAddresses, default: "false" },
  CLOUD_STORAGE_PROVIDER: { schema: matching(/^(folder|azure)$/, "folder or azure"), default: "folder" },
  CLOUD_STORAGE_CONTAINER: {
    schema: matching(
      /^[a-z0-9](?:-?[a-z0-9]){2,62}$/,
      "the name of a container: 3 to 63 lower-case letters, digits and single dashes"
    ),
    default: undefined
  },
  CLOUD_CDN_URL: {
    schema: matching(/^(https?:\/\/)?[A-Za-z0-9.-]+(:\d+)?(\/\S*)?$/, "the host or the URL of a CDN"),
    default: undefined
  },
  AZURE_STORAGE_ACCOUNT: {
    schema: matching(/^[a-z0-9]{3,24}$/, "the name of a storage account: 3 to 24 lower-case letters and digits"),
    default: undefined
  },
  AZURE_STORAGE_KEY: {
    schema: matching(/^[A-Za-z0-9+/]{16,}={0,2}$/, "a key of the storage account, in base64"),
    default: undefined
  },
  AZURE_STORAGE_ENDPOINT: { schema: url("http", "https"), default: undefined },
  DATABASE_URL: { schema: url("postgres", "postgresql"), default: undefined },
  REDIS_URL: { schema: url("redis", "rediss"), default: undefined },
  MACHINE_ID: { schema: Name, default: undefined },
  WORKER_ID: { schema: WorkerId, default: undefined },
  CONNECTORS: {
    schema: matching(/^[A-Za-z0-9][\w.:@-]*$/, "the name of one worker type (start a worker for each)"),
    default: undefined
  },
  MUSTER_REGION: { schema: Name, default: "local" },
  MUSTER_CAPACITY: { schema: integer(1, 10_000), default: "1" }
} as const

type Variable = keyof typeof variables

/** The names of all variables there are. */
export const names: ReadonlyArray<string> = Object.keys(variables)

export interface Configuration {
  readonly host: string
  readonly port: number
  /** Where clients and workers find the server. */
  readonly url: string
  readonly token: Redacted.Redacted | undefined
  readonly registry: RegistrySettings
  readonly queue: QueueSettings
  readonly events: EventSettings
  readonly webhooks: Pick<WebhookSettings, "allowPrivate" | "timeout" | "disableAfter">
  readonly beatInterval: Duration.Duration
  /** The longest body of a request and the longest result of a job, in bytes. */
  readonly maxPayload: number
  /** The largest input that is kept for jobs, in bytes. */
  readonly maxAsset: number
  /** The file of the service mapping. */
  readonly mappingFile: string
  /** The root of logs and assets; absolute. */
  readonly workspace: string
  readonly assets: AssetSettings
  /** Addresses that are not public, and that files of jobs may be fetched from all the same. */
  readonly fetchFrom: boolean | ReadonlyArray<string>
  /** Event streams, and requests that wait for a job's end, that a server keeps open at once. */
  readonly maxStreams: number
  readonly databaseUrl: Redacted.Redacted | undefined
  readonly redisUrl: Redacted.Redacted | undefined
  readonly machineId: string | undefined
  readonly workerId: WorkerId | undefined
  /** The worker type that CONNECTORS names. */
  readonly workerType: string | undefined
  readonly region: string
  readonly capacity: number
  /** The variables as given, for what reads its own: connectors. */
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** The process was started in a way that cannot work; each problem names what to change. */
export class WrongUse extends Schema.TaggedError<WrongUse>("@muster/app/Configuration/WrongUse")("WrongUse", {
  problems: Schema.Array(Schema.String)
}) {
  override readonly [Runtime.errorExitCode] = 2
  override get message() {
    return this.problems.join("\n")
  }
}

const describeProblem = SchemaIssue.makeFormatterStandardSchemaV1()

const problemsOf = (name: Variable, text: string): ReadonlyArray<string> => {
  const exit = Schema.decodeUnknownExit(variables[name].schema as Schema.Codec<string>)(text)
  if (Exit.isSuccess(exit)) return []
  const [failure] = exit.cause.reasons
  const issues =
    failure?._tag === "Fail" ? describeProblem(failure.error.issue).issues.map(({ message }) => message) : []
  // A secret is not repeated in a message.
  const isSecret = name === "MUSTER_TOKEN" || name === "AZURE_STORAGE_KEY" || name.endsWith("_URL")
  const shown = isSecret ? "" : `, not ${JSON.stringify(text.slice(0, 80))}`
  return issues.map((message) => `${name}: ${message.charAt(0).toLowerCase()}${message.slice(1)}${shown}`)
}

/** What a container in Azure needs beside its provider's name. */
const azureNeeds = {
  CLOUD_STORAGE_CONTAINER: "the container that keeps the assets",
  AZURE_STORAGE_ACCOUNT: "the storage account that the container is in",
  AZURE_STORAGE_KEY: "a key of the storage account"
} as const

/** Reads the configuration; `over` are the flags of a command, which go before the environment. */
export const read = Effect.fn("Configuration.read")(function* (
  environment: Readonly<Record<string, string | undefined>>,
  over: Partial<Record<Variable, string | undefined>> = {}
) {
  // An empty variable counts as none: shells and compose files cannot unset one.
  const given = (name: Variable) => over[name] ?? (environment[name] || variables[name].default)
  const problems = (Object.keys(variables) as ReadonlyArray<Variable>).flatMap((name) => {
    const text = given(name)
    return text === undefined ? [] : problemsOf(name, text)
  })
  const isAzure = given("CLOUD_STORAGE_PROVIDER") === "azure"
  const missing = (Object.keys(azureNeeds) as ReadonlyArray<keyof typeof azureNeeds>).flatMap((name) =>
    isAzure && given(name) === undefined
      ? [`${name}: not set; it is ${azureNeeds[name]}, which CLOUD_STORAGE_PROVIDER=azure needs`]
      : []
  )
  if (problems.length + missing.length > 0) return yield* new WrongUse({ problems: [...problems, ...missing] })

  const [interval, timeout] = [given("MUSTER_HEARTBEAT_INTERVAL"), given("MUSTER_HEARTBEAT_TIMEOUT")].map((text) =>
    toDuration(text ?? "")
  )
  if (interval !== undefined && timeout !== undefined && Duration.isGreaterThanOrEqualTo(interval, timeout)) {
    const problem = `MUSTER_HEARTBEAT_INTERVAL: must be shorter than MUSTER_HEARTBEAT_TIMEOUT (${Duration.format(timeout)}), or living workers go offline`
    return yield* new WrongUse({ problems: [problem] })
  }

  const text = (name: Variable) => given(name) ?? ""
  const secret = (name: Variable) => {
    const value = given(name)
    return value === undefined ? undefined : Redacted.make(value, { label: name })
  }
  const workerId = given("WORKER_ID")
  const assets: AssetSettings = isAzure
    ? {
        provider: "azure",
        account: text("AZURE_STORAGE_ACCOUNT"),
        key: Redacted.make(text("AZURE_STORAGE_KEY"), { label: "AZURE_STORAGE_KEY" }),
        container: text("CLOUD_STORAGE_CONTAINER"),
        endpoint: given("AZURE_STORAGE_ENDPOINT"),
        cdnUrl: given("CLOUD_CDN_URL")
      }
    : { provider: "folder" }
  return {
    host: text("MUSTER_HOST"),
    port: Number(text("MUSTER_PORT")),
    url: text("MUSTER_URL").replace(/\/+$/, ""),
    token: secret("MUSTER_TOKEN"),
    registry: {
      activationInterval: toDuration(text("MUSTER_ACTIVATION_INTERVAL")),
      staleInterval: toDuration(text("MUSTER_STALE_INTERVAL")),
      reactivationInterval: toDuration(text("MUSTER_REACTIVATION_INTERVAL")),
      heartbeatTimeout: toDuration(text("MUSTER_HEARTBEAT_TIMEOUT")),
      heartbeatHistory: toDuration(text("MUSTER_HEARTBEAT_HISTORY"))
    },
    queue: {
      name: text("MUSTER_QUEUE"),
      priorityStep: toDuration(text("MUSTER_PRIORITY_STEP")),
      lease: toDuration(text("MUSTER_LEASE")),
      retention: toDuration(text("MUSTER_RETENTION")),
      tickInterval: Duration.seconds(1)
    },
    webhooks: {
      allowPrivate: toPrivateAddresses(text("MUSTER_WEBHOOK_ALLOW_PRIVATE")),
      timeout: toDuration(text("MUSTER_WEBHOOK_TIMEOUT")),
      disableAfter: toDuration(text("MUSTER_WEBHOOK_DISABLE_AFTER"))
    },
    events: {
      retention: toDuration(text("MUSTER_EVENT_RETENTION")),
      maxBytes: Number(text("MUSTER_EVENT_BYTES")),
      archiveRetention: toDuration(text("MUSTER_ARCHIVE_RETENTION"))
    },
    beatInterval: toDuration(text("MUSTER_HEARTBEAT_INTERVAL")),
    maxPayload: Number(text("MUSTER_MAX_PAYLOAD")),
    maxAsset: Number(text("MUSTER_MAX_ASSET")),
    mappingFile: resolve(text("MUSTER_MAPPING")),
    workspace: resolve(text("MUSTER_WORKSPACE")),
    assets,
    fetchFrom: toPrivateAddresses(text("MUSTER_FETCH_ALLOW_PRIVATE")),
    maxStreams: Number(text("MUSTER_MAX_STREAMS")),
    databaseUrl: secret("DATABASE_URL"),
    redisUrl: secret("REDIS_URL"),
    machineId: given("MACHINE_ID"),
    workerId: workerId === undefined ? undefined : WorkerId.make(workerId),
    workerType: given("CONNECTORS"),
    region: text("MUSTER_REGION"),
    capacity: Number(text("MUSTER_CAPACITY")),
    environment
  } satisfies Configuration
})

/** Whether an address can be reached from this machine only. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host)

/** A server that others can reach must know who they are. */
export const requireTokenOffLoopback = (configuration: Pick<Configuration, "host" | "token">) =>
  isLoopback(configuration.host) || configuration.token !== undefined
    ? Effect.void
    : Effect.fail(
        new WrongUse({
          problems: [
            `MUSTER_HOST: ${configuration.host} can be reached by others, so MUSTER_TOKEN must be set (16 characters or more)`
          ]
        })
      )
