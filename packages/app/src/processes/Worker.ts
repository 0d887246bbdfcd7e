/** The worker process, from its configuration. */
import { EventSettings } from "@muster/core/event/EventSettings"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import { workerProcess } from "@muster/impl/WorkerProcess"
import { Effect } from "effect"
import { type Configuration, WrongUse } from "../Configuration.ts"

const missing = ({ redisUrl, workerId, workerType }: Configuration): ReadonlyArray<string> => [
  ...(workerId === undefined
    ? ["WORKER_ID: not set; it is the stable name of the worker, such as gpu-1-worker-simulation-0"]
    : []),
  ...(workerType === undefined ? ["CONNECTORS: not set; it names the worker type, such as simulation"] : []),
  ...(redisUrl === undefined ? ["REDIS_URL: not set; a worker claims its jobs there"] : [])
]

/** Runs the worker until it is interrupted. */
export const run = Effect.fnUntraced(function* (configuration: Configuration) {
  const { redisUrl, workerId, workerType } = configuration
  if (redisUrl === undefined || workerId === undefined || workerType === undefined) {
    return yield* new WrongUse({ problems: missing(configuration) })
  }
  return yield* workerProcess({
    ...configuration,
    redisUrl,
    workerId,
    workerType,
    maxResultLength: configuration.maxPayload
  }).pipe(
    Effect.provideService(QueueSettings, configuration.queue),
    Effect.provideService(EventSettings, configuration.events),
    Effect.catchTags({
      MappingUnusable: ({ problems }) => Effect.fail(new WrongUse({ problems })),
      InvalidConfiguration: (error) => Effect.fail(new WrongUse({ problems: [error.message] })),
      StorageError: ({ detail }) => Effect.fail(new WrongUse({ problems: [`REDIS_URL: ${detail}`] }))
    })
  )
})
