import { connector } from "@muster/connectors/ComfyUIRemoteConnector"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { environmentOf } from "./comfyui/ComfyUp.ts"
import { acquire, jobOf, services, suite } from "./ConnectorSuite.ts"
import { comfyDouble, graphOf } from "./doubles/ComfyDouble.ts"

const token = "very-secret-token"

suite("ComfyUIRemoteConnector", {
  connector,
  service: Effect.map(comfyDouble({ version: "v0.8.0", speed: 10, authorization: `Bearer ${token}` }), (double) => ({
    ...double,
    environment: environmentOf("", {
      COMFYUI_REMOTE_URL: `${double.url}/`,
      COMFYUI_REMOTE_TOKEN: token,
      COMFYUI_MAX_RETRIES: "0"
    }),
    impatient: { COMFYUI_TIMEOUT_SECONDS: "1" }
  })),
  quick: { workflow: graphOf("v0.8.0", "01-simple") },
  endless: { workflow: graphOf("v0.8.0", "16-interrupt") },
  invalid: { workflow: { 1: { inputs: {} } } },
  secrets: [token]
})

describe("ComfyUIRemoteConnector", () => {
  const run = (authorization: string, credentials: Readonly<Record<string, string>>) =>
    Effect.gen(function* () {
      const double = yield* comfyDouble({ version: "v0.8.0", speed: 10, authorization })
      const environment = environmentOf("", { COMFYUI_REMOTE_URL: double.url, ...credentials })
      const running = yield* acquire(connector, environment)
      return yield* running.process(jobOf({ workflow: graphOf("v0.8.0", "01-simple") }), () => Effect.void)
    }).pipe(Effect.scoped, Effect.provide(services))

  it.live("a user and a password", () =>
    run(`Basic ${Buffer.from("user:pass:word").toString("base64")}`, {
      COMFYUI_REMOTE_USERNAME: "user",
      COMFYUI_REMOTE_PASSWORD: "pass:word"
    })
  )

  it.live("a header of one's own", () =>
    run("Key 123", { COMFYUI_REMOTE_HEADER_NAME: "Authorization", COMFYUI_REMOTE_HEADER_VALUE: "Key 123" })
  )

  it.live("credentials that are refused are no reason to try again, and are never told", () =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(run("Bearer right", { COMFYUI_REMOTE_TOKEN: "wrong-secret" }))
      assert.strictEqual(failure._tag === "ConnectorFailure" ? failure.kind : failure._tag, "Unauthorized")
      assert.notInclude(failure.message, "wrong-secret")
    })
  )

  it.live("settings that contradict each other are told all at once", () =>
    Effect.gen(function* () {
      const settings = {
        COMFYUI_REMOTE_TOKEN: "secret-token",
        COMFYUI_REMOTE_USERNAME: "user",
        COMFYUI_REMOTE_HEADER_NAME: "x-key"
      }
      const failure = yield* Effect.flip(run("", settings))
      assert.strictEqual(failure._tag, "InvalidConfiguration")
      for (const text of ["either a token or a user", "both a user and a password", "name and the value of a header"]) {
        assert.include(failure.message, text)
      }
      assert.notInclude(failure.message, "secret-token")
    })
  )
})
