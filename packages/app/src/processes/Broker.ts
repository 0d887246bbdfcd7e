/** The server process: stores, routes and schedulers, and on request a machine of workers. */
import * as NetAddress from "effect/net/NetAddress"
import * as AssetCheck from "@muster/impl/AssetCheck"
import * as BrokerServer from "@muster/impl/BrokerServer"
import * as ConnectorLayers from "@muster/impl/ConnectorLayers"
import * as EmbeddedWorkers from "@muster/impl/EmbeddedWorkers"
import * as MappingSource from "@muster/impl/MappingSource"
import * as WorkerLayers from "@muster/impl/WorkerLayers"
import * as Diagnosis from "@muster/core/diagnosis/Diagnosis"
import { BuildInfo } from "@muster/core/diagnosis/BuildInfo"
import { EventSettings } from "@muster/core/event/EventSettings"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import { KnownMapping } from "@muster/core/mapping/KnownMapping"
import * as MappingDiagnosis from "@muster/core/mapping/MappingDiagnosis"
import { WebhookSettings } from "@muster/core/webhook/WebhookSettings"
import { RegistrySettings } from "@muster/core/worker/RegistrySettings"
import { HttpSettings } from "@muster/http-server/HttpSettings"
import { StreamSettings } from "@muster/http-server/StreamSettings"
import { Console, Effect, Layer, Schema } from "effect"
import { HttpServer } from "effect/http"
import { type Configuration, requireTokenOffLoopback, WrongUse } from "../Configuration.ts"
import { version } from "../Version.ts"

const embeddedWorkers = 2

/** In memory with no store named, PostgreSQL and Redis with both; one alone is a mistake worth stopping for. */
const storesOf = ({ databaseUrl, redisUrl }: Configuration) => {
  if (databaseUrl !== undefined && redisUrl !== undefined) {
    return Effect.succeed({ layer: WorkerLayers.production({ databaseUrl, redisUrl }), persistent: true })
  }
  if (databaseUrl === undefined && redisUrl === undefined) {
    return Effect.succeed({ layer: WorkerLayers.inMemory, persistent: false })
  }
  const [set, missing, keeps] =
    databaseUrl === undefined ? ["REDIS_URL", "DATABASE_URL", "workers"] : ["DATABASE_URL", "REDIS_URL", "jobs"]
  return Effect.fail(
    new WrongUse({
      problems: [
        `${missing}: not set, although ${set} is; it keeps the ${keeps}. Set both, or neither to keep all in memory`
      ]
    })
  )
}

const settings = (configuration: Configuration) =>
  Layer.mergeAll(
    Layer.succeed(RegistrySettings, configuration.registry),
    Layer.succeed(QueueSettings, configuration.queue),
    Layer.succeed(EventSettings, configuration.events),
    Layer.effect(
      WebhookSettings,
      Effect.map(WebhookSettings, (defaults) => ({ ...defaults, ...configuration.webhooks }))
    ),
    Layer.effect(
      StreamSettings,
      Effect.map(StreamSettings, (defaults) => ({ ...defaults, atMost: configuration.maxStreams }))
    ),
    Layer.succeed(BuildInfo, { version }),
    Layer.succeed(HttpSettings, {
      token: configuration.token ?? null,
      maxBodyBytes: configuration.maxPayload,
      maxAssetBytes: configuration.maxAsset
    })
  )

/** What this server knows of the mapping, for who asks it. */
const knowing = (known: KnownMapping) =>
  Layer.merge(
    Layer.succeed(KnownMapping, known),
    Layer.effectDiscard(
      Diagnosis.contribute([
        {
          name: "mapping",
          run: Effect.sync(() => MappingDiagnosis.ofMapping(known.file, known.mapping, known.findings))
        }
      ])
    )
  )

/** The address as one goes to it: a wildcard is only an address to listen on. */
const shownHost = (host: string) => {
  if (host === "0.0.0.0" || host === "::") return "localhost"
  return host.includes(":") ? `[${host}]` : host
}

const defaultUrl = "http://127.0.0.1:3331"

const greeting = (url: string, stores: string, workers: ReadonlyArray<string>, workerType: string, isOpen: boolean) => [
  `Muster ${version} is listening on ${url}`,
  "",
  `  stores   ${stores}`,
  ...(workers.length === 0 ? [] : [`  workers  ${workers.join(", ")}`]),
  // A browser cannot send a token.
  `  API      ${url}/${isOpen ? "docs" : "openapi.json"}`,
  "",
  ...(workers.length === 0
    ? []
    : [
        "Try, in another terminal:",
        "",
        ...(isOpen ? [] : ["  export MUSTER_TOKEN=…   # the token of this server"]),
        ...(workerType === EmbeddedWorkers.usualType
          ? [
              `  curl -s ${url}/jobs -H 'content-type: application/json'${isOpen ? "" : ' -H "authorization: Bearer $MUSTER_TOKEN"'} \\`,
              `    -d '{"service_required": "simulation", "payload": {"duration_ms": 2000}}'`
            ]
          : []),
        ...["job list", "workers list"].map(
          (command) => `  ${url === defaultUrl ? "" : `MUSTER_URL=${url} `}npx muster ${command}`
        ),
        ""
      ]),
  "Ctrl-C stops it."
]

/** The server could not listen where it was told to. */
export class CannotListen extends Schema.TaggedError<CannotListen>("@muster/app/processes/Broker/CannotListen")(
  "CannotListen",
  {
    address: Schema.String,
    code: Schema.String
  }
) {
  override get message() {
    return this.code === "EADDRINUSE"
      ? `${this.address} is taken by another process; choose another with --port or MUSTER_PORT`
      : `cannot listen on ${this.address} (${this.code}); choose another with --host and --port`
  }
}

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "unknown reason"

/** Runs a server until it is interrupted. */
export const run = Effect.fnUntraced(function* (
  configuration: Configuration,
  options: { readonly withWorkers: boolean }
) {
  yield* requireTokenOffLoopback(configuration)
  const { environment, mappingFile, workerType = EmbeddedWorkers.usualType } = configuration
  const connectors = ConnectorLayers.layer(configuration)
  // What is wrong with the mapping and the workers is said before anything listens.
  const mapping = yield* MappingSource.load(mappingFile, options.withWorkers ? [workerType] : [], environment).pipe(
    Effect.mapError(({ problems }) => new WrongUse({ problems }))
  )
  if (options.withWorkers) {
    yield* EmbeddedWorkers.check({ mapping, workerType, environment }).pipe(
      Effect.provide(connectors),
      Effect.mapError((error) => new WrongUse({ problems: [error.message] }))
    )
  }
  const stores = yield* storesOf(configuration)
  const machine = {
    machineId: configuration.machineId ?? "local",
    region: configuration.region,
    workers: options.withWorkers ? embeddedWorkers : 0,
    workerType,
    beatInterval: configuration.beatInterval,
    maxResultLength: configuration.maxPayload,
    mapping,
    environment
  }
  const announce = Layer.effectDiscard(
    Effect.gen(function* () {
      const { address } = yield* HttpServer.HttpServer
      const port = NetAddress.isInetAddress(address) ? address.port : configuration.port
      const host = shownHost(configuration.host)
      const kept = stores.persistent
        ? "PostgreSQL and Redis"
        : "in memory: nothing is persisted, all is gone when it stops"
      yield* Console.log(
        greeting(
          `http://${host}:${port}`,
          kept,
          EmbeddedWorkers.workerIds(machine),
          workerType,
          configuration.token === undefined
        ).join("\n")
      )
    })
  )
  const { host, port } = configuration
  const server = announce.pipe(Layer.provideMerge(BrokerServer.layer({ host, port })))
  // The workers stop first, while there is still a queue to hand their jobs back to.
  return yield* Layer.launch(
    Layer.merge(EmbeddedWorkers.layer(machine), AssetCheck.diagnosis(configuration)).pipe(
      Layer.provide(server),
      // The server hands out what its workers keep.
      Layer.provide(connectors),
      Layer.provide(knowing(mapping)),
      Layer.provide(stores.layer),
      Layer.provide(settings(configuration))
    )
  ).pipe(
    Effect.catchTags({
      ServeError: ({ cause }) => Effect.fail(new CannotListen({ address: `${host}:${port}`, code: codeOf(cause) })),
      StorageError: ({ detail }) => Effect.fail(new WrongUse({ problems: [`REDIS_URL: ${detail}`] }))
    })
  )
})
