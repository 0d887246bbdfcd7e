/** Webhooks by the real command, against a real server in memory and a real receiver. */
import { assert, describe } from "@effect/vitest"
import { WebhookId } from "@muster/core/webhook/Webhook"
import * as WebhookQueries from "@muster/core/webhook/WebhookQueries"
import { Effect } from "effect"
import { isSigned, ok, receiver, status } from "../../../impl/test/webhookReceiver.ts"
import { ask, field, live, operate } from "./operator.ts"

const webhook = (id: string) => WebhookQueries.getWebhook(WebhookId.make(id))

describe("muster webhooks", () => {
  live(
    "adds one, tries it out, shows it and removes it",
    Effect.gen(function* () {
      const target = yield* receiver(ok)
      const args = ["--type", "job.completed,job.failed", "--type", "job.cancelled", "--customer-id", "acme"]
      const added = yield* operate(["webhooks", "add", target.url, "--id", "hook", "--description", "billing", ...args])
      assert.deepInclude(added, { code: 0, stderr: "" })
      const [, secret = ""] = /^webhook hook is registered\nsecret (whsec_\S+)\n$/.exec(added.stdout) ?? []
      assert.deepInclude(yield* webhook("hook"), {
        description: "billing",
        filter: { types: ["job.completed", "job.failed", "job.cancelled"], customer_id: "acme" }
      })

      const tried = yield* operate(["webhooks", "test", "hook"])
      assert.match(tried.stdout, /^webhook hook works: answered 204 after \d+ ms\n$/)
      assert.isTrue(target.received.every((request) => isSigned(request, secret)) && target.received.length === 1)

      const [listed, shown, deliveries] = [
        yield* operate(["webhooks", "list"]),
        yield* operate(["webhooks", "show", "hook"]),
        yield* operate(["webhooks", "deliveries", "hook"])
      ]
      assert.match(listed.stdout, /^ID +STATUS .*\nhook +active +http:.* job\.completed, job\.failed.*customer_id acme/)
      assert.match(shown.stdout, /\ndescription +billing\nstatus +active\n/)
      assert.match(deliveries.stdout, /^AT .*\n(?:just now|\d+ s ago) +delivered +1 +webhook\.test +0 .*answered 204/)
      for (const { stdout } of [listed, shown, deliveries]) assert.notInclude(stdout, secret)

      const json = yield* operate(["webhooks", "show", "hook", "--json"])
      assert.deepStrictEqual(JSON.parse(json.stdout), yield* ask("/webhooks/hook"))
      const removed = yield* operate(["webhooks", "remove", "hook"])
      assert.deepStrictEqual(removed, { code: 0, stdout: "webhook hook is removed\n", stderr: "" })
      assert.deepStrictEqual(yield* operate(["webhooks", "show", "hook"]), {
        code: 1,
        stdout: "",
        stderr: "error: there is no webhook hook\n"
      })
      assert.deepStrictEqual(yield* operate(["webhooks", "list"]), { code: 0, stdout: "", stderr: "no webhooks\n" })
    })
  )

  live(
    "takes a secret from a file, and says what does not work",
    Effect.gen(function* () {
      const target = yield* receiver(status(500))
      const own = "a-secret-of-my-own"
      const added = yield* operate(["webhooks", "add", target.url, "--id", "h", "--secret-file", "-", "--json"], {
        input: `${own}\n`
      })
      assert.strictEqual(field(added.stdout, "secret"), own)
      const quiet = yield* operate(["webhooks", "add", target.url, "--id", "q", "--secret-file", "-"], { input: own })
      assert.deepStrictEqual(quiet, { code: 0, stdout: "webhook q is registered\n", stderr: "" })
      const tried = yield* operate(["webhooks", "test", "h"])
      assert.deepStrictEqual(tried, { code: 1, stdout: "", stderr: "error: webhook h does not work: answered 500\n" })
      const json = yield* operate(["webhooks", "test", "h", "--json"])
      assert.strictEqual(json.code, 1)
      assert.strictEqual(field(json.stdout, "delivery", "status"), 500)
      assert.strictEqual(field(json.stderr, "code"), "NotDelivered")
      const enabled = yield* operate(["webhooks", "enable", "h"])
      assert.deepStrictEqual(enabled, { code: 0, stdout: "webhook h is active\n", stderr: "" })
    })
  )

  live(
    "refuses what is wrong",
    Effect.gen(function* () {
      const add = (...args: ReadonlyArray<string>) => operate(["webhooks", "add", ...args])
      const [scheme, type, secret, metadata] = [
        yield* add("example.com"),
        yield* add("https://example.com", "--type", "job.done"),
        yield* operate(["webhooks", "add", "https://example.com", "--secret-file", "-"], { input: "short" }),
        yield* add("http://169.254.169.254/latest/meta-data")
      ]
      assert.deepStrictEqual([scheme.code, type.code, secret.code, metadata.code], [2, 2, 2, 1])
      assert.match(scheme.stderr, /URL: expected a URL that starts with https:\/\/ or http:\/\//)
      assert.match(type.stderr, /--type: expected/)
      assert.match(secret.stderr, /--secret-file -: expected at least 16 characters/)
      assert.match(
        metadata.stderr,
        /^error: url: 169\.254\.169\.254 is, or leads to, an address .* MUSTER_WEBHOOK_ALLOW/
      )
    })
  )
})
