/**
 * The worker type `openai` of the mapping that comes along, as a process: jobs over HTTP and from the command line, against
 * a double of OpenAI that others made, and against ours for what that one does not do. Assets are in Azurite, and come
 * back through the server, which has no folder in common with the worker.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { inject } from "vitest"
import * as Azurite from "../../../../tools/servers/Azurite.ts"
import { freshFolder } from "../../../../tools/servers/ServerProcess.ts"
import { startAimock, startAzurite } from "../../../../tools/servers/testServers.ts"
import { png } from "../../../connectors/test/assets/AssetStoreSuite.ts"
import { openAIDouble } from "../../../connectors/test/doubles/OpenAIDouble.ts"
import { muster } from "../operator/operator.ts"
import { startBroker } from "./processes.ts"
import { eventually, serving, sha256 } from "./serviceJobs.ts"

const root = join(import.meta.dirname, "../../../..")

const usage = { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12, input_tokens: 7, output_tokens: 5 }
const content = "Hello from somebody else"
const image = { b64Json: png.toString("base64") }
const fixtures = [
  { match: { userMessage: "hello" }, response: { content, usage }, chunkSize: 4 },
  { match: { endpoint: "image", userMessage: "a cat" }, response: { image } },
  { match: { endpoint: "image", userMessage: "with a hat" }, response: { image } }
]

const hello = { messages: [{ role: "user", content: "hello" }] }

const azure = Effect.map(
  Effect.tap(startAzurite, ({ url }) => Effect.promise(() => Azurite.makeContainer(url, "made"))),
  ({ url }) => ({
    CLOUD_STORAGE_PROVIDER: "azure",
    CLOUD_STORAGE_CONTAINER: "made",
    AZURE_STORAGE_ACCOUNT: Azurite.account,
    AZURE_STORAGE_KEY: Azurite.key,
    AZURE_STORAGE_ENDPOINT: url
  })
)

/** The mapping that comes along, as its file has it. */
const shipped = Effect.promise(async () => JSON.parse(await readFile(join(root, "service-mapping.json"), "utf8")))

describe("npm start", () => {
  it.live(
    "runs a job by the mapping that comes along, in memory",
    () =>
      Effect.gen(function* () {
        const { scripts } = JSON.parse(yield* Effect.promise(() => readFile(join(root, "package.json"), "utf8")))
        assert.strictEqual(scripts.start, "exec muster up")
        const { url } = yield* startBroker("up", {
          MUSTER_WORKSPACE: yield* Effect.promise(() => freshFolder("workspace"))
        })
        const told = yield* Effect.promise(async () => (await fetch(`${url}/mapping`)).json())
        assert.deepStrictEqual(told, { mapping: yield* shipped, findings: [] })
        const submitted = yield* muster(
          ["job", "submit", "simulation", "--payload", '{"duration_ms":5}', "--wait", "--json"],
          { env: { MUSTER_URL: url } }
        )
        assert.strictEqual(submitted.code, 0, submitted.stderr)
        assert.containSubset(JSON.parse(submitted.stdout), {
          job: { status: "completed", result: { simulated: true } }
        })
      }).pipe(Effect.scoped),
    240_000
  )
})

describe("CONNECTORS=openai", () => {
  it.live(
    "chats, images, edits and responses run end to end, their assets in Azure, and what they used is told",
    () =>
      Effect.gen(function* () {
        const [store, { url }] = yield* Effect.all([azure, startAimock(fixtures)], { concurrency: 2 })
        // What `npm start` runs, with stores.
        const broker = yield* serving("up", store)
        assert.deepStrictEqual((yield* broker.get("/mapping")).mapping, yield* shipped)
        yield* broker.worker("ai", {
          CONNECTORS: "openai",
          OPENAI_API_KEY: `sk-${broker.env.MUSTER_QUEUE}`,
          OPENAI_BASE_URL: `${url}/v1`,
          OPENAI_POLL_INTERVAL_MS: "20",
          MUSTER_CAPACITY: "4",
          MUSTER_WORKSPACE: yield* Effect.promise(() => freshFolder("workspace"))
        })

        const input = yield* broker.keep(new Uint8Array(png))
        const [chat, any, prompt, response, made, edited] = yield* Effect.forEach(
          [
            ["openai_text", hello],
            ["openai_chat", hello],
            ["openai_text_simple", { prompt: "hello" }],
            ["openai_responses", { input: "hello" }],
            ["openai_image", { prompt: "a cat" }],
            ["openai_img2img", { prompt: "with a hat", image: { asset: input } }]
          ] as const,
          ([service, payload]) =>
            Effect.flatMap(broker.submit(service, payload), (id) => broker.becomes(id, "completed")),
          { concurrency: 6 }
        )
        for (const { id, progress, result, worker_id } of [chat!, prompt!, response!]) {
          assert.deepStrictEqual([worker_id, result?.text], ["ai", content], id)
          assert.strictEqual(result?.usage?.total_tokens, 12)
          assert.strictEqual(progress?.percent, 100)
        }
        assert.strictEqual(any!.result?.usage?.total_tokens, 12)
        const contents = yield* Effect.forEach([response!, made!, edited!], broker.assetsOf)
        assert.deepStrictEqual(
          contents.map((assets) => assets.map(sha256)),
          [[sha256(Buffer.from(content))], [sha256(png)], [sha256(png)]]
        )
        assert.deepStrictEqual([made!.result?.approach, made!.result?.assets[0]?.content_type], ["direct", "image/png"])

        const asked = yield* muster(
          ["job", "submit", "openai_text_simple", "--payload", '{"prompt":"hello"}', "--wait", "--json"],
          { env: { MUSTER_URL: broker.url } }
        )
        assert.strictEqual(asked.code, 0, asked.stderr)
        assert.containSubset(JSON.parse(asked.stdout), { job: { status: "completed", result: { text: content } } })
        const refused = yield* muster(
          ["job", "submit", "openai_image", "--payload", '{"prompt":"a cat","model":"nonsense"}', "--wait"],
          { env: { MUSTER_URL: broker.url } }
        )
        assert.strictEqual(refused.code, 1)
        assert.match(refused.stderr, /failed: InvalidPayload: model: nonsense is not one of those allowed here/)

        const settings = {
          WORKER_ID: "w",
          CONNECTORS: "openai",
          OPENAI_API_KEY: "sk-x",
          REDIS_URL: broker.env.REDIS_URL
        }
        const nowhere = yield* muster(["worker"], {
          env: {
            ...settings,
            ...store,
            CLOUD_STORAGE_CONTAINER: "never-made",
            MUSTER_WORKSPACE: broker.env.MUSTER_WORKSPACE
          }
        })
        assert.match(nowhere.stderr, /CLOUD_STORAGE_CONTAINER: .*container never-made of .*; create the container/)
        assert.strictEqual(nowhere.code, 2)
      }).pipe(Effect.scoped),
    240_000
  )

  it.live(
    "work in the background is paid once, also when its worker is killed, and stopped when its job is cancelled; a key that is refused is explained",
    () =>
      Effect.gen(function* () {
        const broker = yield* serving("server")
        const key = `sk-${broker.env.MUSTER_QUEUE}`
        const double = yield* openAIDouble(key)
        const settings = {
          CONNECTORS: "openai",
          OPENAI_BASE_URL: double.url,
          OPENAI_POLL_INTERVAL_MS: "20",
          OPENAI_IMAGE_MODEL: "gpt-image-2.5-flare"
        }
        const payload = { prompt: "a lighthouse", output_format: "png" }
        const stranger = yield* broker.worker("stranger", { ...settings, OPENAI_API_KEY: "sk-wrong" })
        const id = yield* broker.submit("openai_image", payload)
        const { hints } = yield* eventually("it is explained", broker.get(`/jobs/${id}/explain`), ({ hints }) =>
          JSON.stringify(hints).includes("unhealthy")
        )
        assert.match(
          hints.join(),
          /OpenAIText2ImgConnector on stranger, which matches, is unhealthy since .*: Unauthorized: OpenAI answered 401 \(invalid_api_key\)/
        )
        assert.notInclude(JSON.stringify(hints), "sk-wrong")
        yield* stranger.stop

        const worker = yield* broker.worker("ai", { ...settings, OPENAI_API_KEY: key })
        const done = yield* broker.becomes(id, "completed")
        assert.deepStrictEqual(
          [done.attempt, done.result?.approach, done.result?.usage?.total_tokens],
          [1, "background", 33]
        )
        const [bytes] = yield* broker.assetsOf(done)
        assert.strictEqual(sha256(bytes!), sha256(png))
        assert.strictEqual(double.paid.length, 1)

        const edit = yield* broker.submit("openai_img2img", {
          prompt: "with a hat",
          image: { asset: done.result!.assets[0]!.file_name, job_id: id }
        })
        const edited = yield* broker.becomes(edit, "completed")
        assert.strictEqual(edited.result?.usage?.total_tokens, 33)
        yield* broker.assetsOf(edited)

        const orphan = yield* broker.submit("openai_image", { prompt: "an endless sea" })
        yield* eventually(
          "it is in the background",
          broker.job(orphan),
          ({ progress }) => progress?.message?.startsWith("response resp_") === true
        )
        yield* worker.kill
        yield* broker.worker("heir", { ...settings, OPENAI_API_KEY: key })
        yield* eventually("it is tried again", broker.attempts(orphan), ({ length }) => length === 2)
        for (const { request } of double.responses.values()) request.input = "a sea"
        const adopted = yield* broker.becomes(orphan, "completed")
        assert.strictEqual(adopted.worker_id, "heir")
        assert.deepStrictEqual(yield* broker.attempts(orphan), ["lost", "completed"])
        assert.strictEqual((yield* broker.assetsOf(adopted)).length, 1)
        assert.strictEqual(double.paid.length, 3)

        const endless = yield* broker.submit("openai_responses", { input: "endless" })
        yield* eventually("it is in the background", Effect.sync(double.running), (running) => running === 1)
        const cancelled = yield* muster(["job", "cancel", endless], { env: { MUSTER_URL: broker.url } })
        assert.strictEqual(cancelled.code, 0, cancelled.stderr)
        yield* eventually("it is stopped", Effect.sync(double.running), (running) => running === 0)
        assert.strictEqual([...double.responses.values()].at(-1)?.status, "cancelled")
        assert.strictEqual((yield* broker.job(endless)).status, "cancelled")
      }).pipe(Effect.scoped),
    240_000
  )

  it.live(
    "a worker that is told wrongly does not start, and says all that is wrong",
    () =>
      Effect.gen(function* () {
        const env = {
          WORKER_ID: "w",
          REDIS_URL: inject("redisUrl"),
          MUSTER_WORKSPACE: yield* Effect.promise(() => freshFolder("workspace"))
        }
        const ends = (over: Record<string, string>, words: RegExp) =>
          Effect.map(muster(["worker"], { env: { ...env, ...over } }), ({ code, stderr }) => {
            assert.match(stderr, words)
            assert.strictEqual(code, 2)
          })
        yield* Effect.all(
          [
            ends({ CONNECTORS: "openai" }, /OPENAI_API_KEY is not set .*workers\.openai\.required_env\[0\]/),
            ends({ CONNECTORS: "opena1" }, /no worker type opena1; did you mean openai\?/),
            ends(
              { CONNECTORS: "openai", OPENAI_API_KEY: "sk-x", OPENAI_BASE_URL: "api.openai.com", OPENAI_TIMEOUT: "1m" },
              /OPENAI_BASE_URL: .*URL.*OPENAI_TIMEOUT/s
            )
          ],
          { concurrency: 2 }
        )
      }).pipe(Effect.scoped),
    240_000
  )
})
