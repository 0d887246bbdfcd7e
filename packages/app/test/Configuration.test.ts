import * as Configuration from "@muster/app/Configuration"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Redacted } from "effect"

const problems = (environment: Record<string, string>) =>
  Effect.map(Effect.flip(Configuration.read(environment)), (error) => error.problems)

describe("Configuration", () => {
  it.effect("has a default for everything a broker needs", () =>
    Effect.gen(function* () {
      const configuration = yield* Configuration.read({})
      assert.strictEqual(configuration.host, "127.0.0.1")
      assert.strictEqual(configuration.port, 3331)
      assert.strictEqual(configuration.maxPayload, 1_048_576)
      assert.strictEqual(configuration.maxStreams, 2_000)
      assert.deepStrictEqual(configuration.registry.heartbeatTimeout, Duration.seconds(60))
      assert.deepStrictEqual(configuration.queue.lease, Duration.seconds(30))
      assert.strictEqual(configuration.databaseUrl, undefined)
    })
  )

  it.effect("reads durations, numbers and names; flags go before the environment, empty counts as unset", () =>
    Effect.gen(function* () {
      const configuration = yield* Configuration.read(
        { MUSTER_LEASE: "1.5m", MUSTER_PORT: "4000", MUSTER_QUEUE: "", WORKER_ID: "w-1", MUSTER_URL: "http://a:1/" },
        { MUSTER_PORT: "5000" }
      )
      assert.deepStrictEqual(configuration.queue.lease, Duration.seconds(90))
      assert.strictEqual(configuration.port, 5_000)
      assert.strictEqual(configuration.queue.name, "default")
      assert.strictEqual(configuration.workerId, "w-1")
      assert.strictEqual(configuration.url, "http://a:1")
    })
  )

  it.effect("reads which private addresses webhooks may be sent to", () =>
    Effect.gen(function* () {
      const allowed = (text: string) =>
        Effect.map(Configuration.read({ MUSTER_WEBHOOK_ALLOW_PRIVATE: text }), ({ webhooks }) => webhooks.allowPrivate)
      assert.isFalse(yield* allowed(""))
      assert.isTrue(yield* allowed("true"))
      assert.deepStrictEqual(yield* allowed("10.1.0.0/16, fd00::/8,192.168.7.7"), [
        "10.1.0.0/16",
        "fd00::/8",
        "192.168.7.7"
      ])
      for (const text of ["yes", "10.0.0.0/33", "10.1.0.0/16,", "localhost"]) {
        assert.deepStrictEqual(yield* problems({ MUSTER_WEBHOOK_ALLOW_PRIVATE: text }), [
          `MUSTER_WEBHOOK_ALLOW_PRIVATE: expected true, false, or networks such as 10.1.0.0/16,fd00::/8, not "${text}"`
        ])
      }
    })
  )

  it.effect("keeps assets in a folder of the workspace, or in a container it knows all about", () =>
    Effect.gen(function* () {
      const plain = yield* Configuration.read({})
      assert.deepStrictEqual(plain.assets, { provider: "folder" })
      assert.strictEqual(plain.workspace, `${process.cwd()}/workspace`)
      assert.isTrue(plain.mappingFile.endsWith("/service-mapping.json"))
      assert.isFalse(plain.fetchFrom)
      assert.deepStrictEqual(yield* problems({ CLOUD_STORAGE_PROVIDER: "azure", AZURE_STORAGE_ENDPOINT: "files" }), [
        'AZURE_STORAGE_ENDPOINT: expected a URL that starts with http:// or https://, not "files"',
        "CLOUD_STORAGE_CONTAINER: not set; it is the container that keeps the assets, which CLOUD_STORAGE_PROVIDER=azure needs",
        "AZURE_STORAGE_ACCOUNT: not set; it is the storage account that the container is in, which CLOUD_STORAGE_PROVIDER=azure needs",
        "AZURE_STORAGE_KEY: not set; it is a key of the storage account, which CLOUD_STORAGE_PROVIDER=azure needs"
      ])
      const key = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="
      const azure = {
        CLOUD_STORAGE_PROVIDER: "azure",
        CLOUD_STORAGE_CONTAINER: "renders",
        CLOUD_CDN_URL: "cdn.example.org",
        AZURE_STORAGE_ACCOUNT: "acme1",
        AZURE_STORAGE_KEY: key
      }
      const { assets } = yield* Configuration.read(azure)
      assert.deepStrictEqual(assets.provider === "azure" ? Redacted.value(assets.key) : "", key)
      assert.notInclude(JSON.stringify(assets), key)
      const [wrong = ""] = yield* problems({ ...azure, AZURE_STORAGE_KEY: "not a key!" })
      assert.isTrue(wrong.startsWith("AZURE_STORAGE_KEY: "))
      assert.notInclude(wrong, "not a key!")
      assert.strictEqual((yield* problems({ CLOUD_STORAGE_PROVIDER: "s3" })).length, 1)
    })
  )

  it.effect("names every problem at once, each by its variable, and ends with exit code 2", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Configuration.read({
          MUSTER_PORT: "99999",
          MUSTER_LEASE: "soon",
          MUSTER_STALE_INTERVAL: "0s",
          WORKER_ID: "a/b",
          DATABASE_URL: "mysql://x"
        })
      )
      assert.deepStrictEqual(error.problems, [
        `MUSTER_PORT: expected a whole number from 0 to 65535, not "99999"`,
        `MUSTER_STALE_INTERVAL: expected a duration from 10ms to 365d, not "0s"`,
        `MUSTER_LEASE: expected a duration such as 500ms, 10s, 5m or 1h, not "soon"`,
        `DATABASE_URL: expected a URL that starts with postgres:// or postgresql://`,
        `WORKER_ID: expected letters, digits and . _ : @ - only, starting with a letter or digit, not "a/b"`
      ])
      assert.strictEqual(error["~effect/Runtime/errorExitCode"], 2)
    })
  )

  it.effect("shows no secret, neither in a problem nor when it is printed", () =>
    Effect.gen(function* () {
      const found = yield* problems({ MUSTER_TOKEN: "too-short", REDIS_URL: "http://:hunter2@redis" })
      assert.strictEqual(found.length, 2)
      assert.notInclude(found.join(), "too-short")
      assert.notInclude(found.join(), "hunter2")
      const configuration = yield* Configuration.read({ MUSTER_TOKEN: "a-very-long-token-indeed" })
      assert.notInclude(JSON.stringify({ ...configuration, environment: {} }), "a-very-long-token-indeed")
      assert.strictEqual(configuration.token && Redacted.value(configuration.token), "a-very-long-token-indeed")
    })
  )

  it.effect("demands a token on any address that others can reach", () =>
    Effect.gen(function* () {
      for (const host of ["127.0.0.1", "127.8.8.8", "localhost", "::1"]) {
        yield* Configuration.requireTokenOffLoopback({ host, token: undefined })
      }
      for (const host of ["0.0.0.0", "::", "192.168.1.7", "example.org", "127.0.0.1.example.org"]) {
        const error = yield* Effect.flip(Configuration.requireTokenOffLoopback({ host, token: undefined }))
        assert.include(error.message, "MUSTER_TOKEN")
        yield* Configuration.requireTokenOffLoopback({ host, token: Redacted.make("a-very-long-token-indeed") })
      }
    })
  )
})
