/** What the tests of the OpenAI connectors share: the double, and how a connector is told of it. */
import type { Connector, ConnectorJob } from "@muster/core/connector/Connector"
import type { Progress } from "@muster/core/job/Job"
import { Effect } from "effect"
import { acquire, jobOf } from "./ConnectorSuite.ts"
import { openAIDouble } from "./doubles/OpenAIDouble.ts"

export const key = "sk-very-secret"

/** The double, and what its connectors are told. */
export const service = Effect.map(openAIDouble(key), (double) => ({
  ...double,
  environment: {
    OPENAI_API_KEY: key,
    OPENAI_BASE_URL: double.url,
    OPENAI_MAX_RETRIES: "1",
    OPENAI_POLL_INTERVAL_MS: "10",
    OPENAI_IMAGE_MODELS: "dall-e-3,gpt-image-2"
  } as Readonly<Record<string, string>>,
  impatient: { OPENAI_TIMEOUT: "1", OPENAI_TIMEOUT_SECONDS: "1", OPENAI_MAX_RETRIES: "0" }
}))

/** Runs a job against a double of its own: what came of it, what was told, and the double. */
export const run = (
  connector: Connector,
  payload: unknown,
  options: {
    readonly job?: Partial<ConnectorJob>
    readonly environment?: Readonly<Record<string, string>>
    readonly before?: (double: Effect.Success<typeof service>) => Effect.Effect<void>
  } = {}
) =>
  Effect.gen(function* () {
    const double = yield* service
    const running = yield* Effect.orDie(acquire(connector, { ...double.environment, ...options.environment }))
    yield* options.before?.(double) ?? Effect.void
    const told: Array<Progress> = []
    const job = jobOf(payload, options.job)
    const result = yield* Effect.result(running.process(job, (progress) => Effect.sync(() => void told.push(progress))))
    return { double, told, result, running, job }
  })
