/** The ways of checking a signature that docs/webhooks.md shows, run as they stand there. */
import { assert, describe, it } from "@effect/vitest"
import * as Notice from "@muster/core/webhook/Notice"
import { WebhookId } from "@muster/core/webhook/Webhook"
import { Effect, Redacted } from "effect"
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"

const page = readFileSync(new URL("../../../docs/webhooks.md", import.meta.url), "utf8")

const block = (language: string): string => {
  const [, code = ""] = new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(page) ?? []
  return code
}

const secret = "a-secret-of-my-own"

interface Case {
  readonly secret: string
  readonly header: string
  readonly body: string
  readonly expected: boolean
}

/** Requests as receivers get them, and as they do not. */
const cases = Effect.gen(function* () {
  const notice = yield* Notice.ofTest
  const bytes = Notice.encode({ id: WebhookId.make("hook") }, notice)
  const body = new TextDecoder().decode(bytes)
  const now = Math.floor(Date.now() / 1_000)
  const sign = (time: number) => Notice.sign(Redacted.make(secret), time, bytes)
  const header = yield* sign(now)
  const all: ReadonlyArray<Case> = [
    { secret, header, body, expected: true },
    { secret, header: yield* sign(now - 200), body, expected: true },
    { secret, header: yield* sign(now - 400), body, expected: false },
    { secret, header: yield* sign(now + 400), body, expected: false },
    { secret, header: header.replace(`t=${now}`, `t=${now + 1}`), body, expected: false },
    { secret: "another-secret-of-mine", header, body, expected: false },
    { secret, header, body: `${body} `, expected: false },
    { secret, header: "", body, expected: false },
    { secret, header: "t=1,v1=abc", body, expected: false }
  ]
  return all
})

describe("docs/webhooks.md", () => {
  it.effect("checks signatures in JavaScript", () =>
    Effect.gen(function* () {
      const { isFromMuster } = yield* Effect.promise(
        () => import(/* @vite-ignore */ `data:text/javascript,${encodeURIComponent(block("js"))}`)
      )
      for (const { body, expected, header, secret } of yield* cases) {
        assert.strictEqual(isFromMuster(secret, header, Buffer.from(body)), expected, header)
      }
    })
  )

  const hasPython = spawnSync("python3", ["--version"]).status === 0

  it.effect.skipIf(!hasPython)("checks signatures in Python", () =>
    Effect.gen(function* () {
      const all = yield* cases
      const run = `${block("python")}
import json, sys
print(json.dumps([is_from_muster(c["secret"], c["header"], c["body"].encode()) for c in json.load(sys.stdin)]))`
      const { stderr, stdout } = spawnSync("python3", ["-c", run], { input: JSON.stringify(all), encoding: "utf8" })
      assert.strictEqual(stderr, "")
      assert.deepStrictEqual(
        JSON.parse(stdout),
        all.map(({ expected }) => expected)
      )
    })
  )
})
