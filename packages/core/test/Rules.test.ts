import { assert, describe, it } from "@effect/vitest"
import { DateTime, Duration, Exit, Result, Schema } from "effect"
import { afterFailure, FailureKind } from "@muster/core/connector/ConnectorFailure"
import { canBecome, isFinished, isHeld, JobId, JobStatus } from "@muster/core/job/Job"
import { effectiveTime, rank } from "@muster/core/job/Rank"
import { canonical, Json, maxDepth } from "@muster/core/Json"
import { expand, expandAll } from "@muster/core/mapping/Template"
import { predecessors, WorkerId } from "@muster/core/worker/Worker"

const accepts = <S extends Schema.Codec<unknown, unknown>>(schema: S, value: unknown): boolean =>
  Exit.isSuccess(Schema.decodeUnknownExit(schema)(value))

describe("names", () => {
  it("are letters, digits and . _ : @ - only", () => {
    for (const good of ["a", "worker-1", "gpu.box:0@eu_1", "7", "x".repeat(128)])
      assert.isTrue(accepts(JobId, good), good)
    for (const bad of [
      "",
      "a/b",
      "a b",
      "-a",
      "a\u0000",
      "ä",
      "x".repeat(129),
      "a\n",
      null,
      7,
      "{a}",
      "x".repeat(10_000)
    ]) {
      assert.isFalse(accepts(JobId, bad), String(bad))
    }
    assert.isFalse(accepts(WorkerId, "x".repeat(201)))
  })
})

describe("payloads", () => {
  const nested = (depth: number) => JSON.parse("[".repeat(depth) + "]".repeat(depth)) as unknown

  it("are any JSON up to a depth that every encoder survives", () => {
    for (const good of [null, 0, "", [], {}, { a: [1, { b: null }] }, nested(maxDepth)])
      assert.isTrue(accepts(Json, good))
    assert.isFalse(accepts(Json, nested(maxDepth + 2)))
    assert.isFalse(accepts(Json, nested(100_000)))
  })

  it("have one canonical text, whatever the order of their keys", () => {
    assert.strictEqual(canonical({ b: [{ d: 1, c: 2 }], a: null }), `{"a":null,"b":[{"c":2,"d":1}]}`)
    assert.strictEqual(canonical(JSON.parse(`{"__proto__":1,"a":2}`)), `{"__proto__":1,"a":2}`)
    assert.notStrictEqual(canonical([1, 2]), canonical([2, 1]))
  })
})

describe("the tables of transitions", () => {
  it("end where they say they end", () => {
    assert.deepStrictEqual(JobStatus.literals.filter(isFinished), ["completed", "failed", "cancelled", "expired"])
    assert.deepStrictEqual(JobStatus.literals.filter(isHeld), ["assigned", "processing"])
    for (const finished of JobStatus.literals.filter(isFinished)) {
      const next = JobStatus.literals.filter((to) => canBecome(finished, to))
      assert.deepStrictEqual(next, finished === "failed" ? ["pending"] : [])
    }
    assert.isFalse(canBecome("pending", "processing"))
    assert.isFalse(canBecome("processing", "expired"))
  })

  it("of workers know where a state comes from", () => {
    assert.deepStrictEqual(predecessors("active"), ["pending", "offline"])
    assert.deepStrictEqual(predecessors("pending"), [])
  })
})

describe("the order of jobs", () => {
  const step = Duration.minutes(1)
  const plain = { priority: 50, workflow_priority: null, workflow_datetime: null, run_at: null }
  const at = (ms: number) => DateTime.makeUnsafe(ms)
  const day = 24 * 3_600_000
  const now = 1_700_000_000_000

  it("lets one priority point outweigh one step of age, no more", () => {
    assert.isBelow(rank({ ...plain, priority: 51 }, now + 59_999, step), rank(plain, now, step))
    assert.isAbove(rank({ ...plain, priority: 51 }, now + 60_001, step), rank(plain, now, step))
  })

  it("takes priority 0 for a priority, also a workflow's", () => {
    assert.isAbove(rank({ ...plain, priority: 0 }, now, step), rank({ ...plain, priority: 1 }, now, step))
    assert.strictEqual(rank({ ...plain, workflow_priority: 0 }, now, step), now)
  })

  it("never lets a workflow's time be later than the job or more than a day older", () => {
    assert.strictEqual(effectiveTime({ ...plain, workflow_datetime: at(now + day) }, now), now)
    assert.strictEqual(effectiveTime({ ...plain, workflow_datetime: at(now - 5) }, now), now - 5)
    assert.strictEqual(effectiveTime({ ...plain, workflow_datetime: at(0) }, now), now - day)
  })

  it("counts a scheduled job from the time it may run", () => {
    assert.strictEqual(effectiveTime({ ...plain, run_at: at(now + 7) }, now), now + 7)
    assert.strictEqual(effectiveTime({ ...plain, run_at: at(now - 7) }, now), now)
  })
})

describe("the retry policy", () => {
  const fresh = { attempt: 1, retry_count: 0, max_retries: 3 }

  it("knows every kind of failure", () => {
    const gaveUp = FailureKind.literals.filter((kind) => afterFailure({ kind }, fresh, 0)._tag === "GiveUp")
    assert.deepStrictEqual(gaveUp, ["Rejected", "InvalidPayload", "Unauthorized"])
  })

  it("gives up when the retries are spent, except where none is used", () => {
    const spent = { attempt: 4, retry_count: 3, max_retries: 3 }
    assert.strictEqual(afterFailure({ kind: "Timeout" }, spent, 0)._tag, "GiveUp")
    assert.deepStrictEqual(afterFailure({ kind: "RateLimited", retry_after_ms: 1_500 }, spent, 0), {
      _tag: "Retry",
      delay: Duration.millis(1_500),
      usesRetry: false,
      elsewhere: false
    })
  })

  it("gives a service the delay it names, within reason", () => {
    const delays = [0, -5, 700, 3_600_000, 99_999_999_000].map((retry_after_ms) => {
      const next = afterFailure({ kind: "RateLimited", retry_after_ms }, fresh, 0)
      return next._tag === "Retry" ? Duration.toMillis(next.delay) : undefined
    })
    assert.deepStrictEqual(delays, [500, 500, 700, 3_600_000, 86_400_000])
  })

  it("leaves what was too much for one worker to another", () => {
    const elsewhere = FailureKind.literals.filter((kind) => {
      const next = afterFailure({ kind }, fresh, 0)
      return next._tag === "Retry" && next.elsewhere
    })
    assert.deepStrictEqual(elsewhere, ["ResourceExhausted"])
  })

  it("doubles the delay, spreads it over its upper half, and bounds it", () => {
    const delayOf = (before: number, jitter: number) => {
      const job = { attempt: before + 1, retry_count: 0, max_retries: 100 }
      const next = afterFailure({ kind: "RateLimited" }, job, jitter)
      return next._tag === "Retry" ? Duration.toMillis(next.delay) : undefined
    }
    assert.deepStrictEqual(
      [delayOf(0, 0), delayOf(0, 0.999), delayOf(1, 0.999), delayOf(3, 0)],
      [500, 1_000, 1_999, 4_000]
    )
    assert.strictEqual(delayOf(99, 0.999), 299_850)
  })
})

describe("templates", () => {
  it("fill in variables anywhere, once, with their defaults", () => {
    const environment = { HOST: "gpu-1", ODD: "${HOST}", EMPTY: "" }
    assert.deepStrictEqual(
      expand("http://${HOST}:${PORT:-8188}/${EMPTY:-x}", environment),
      Result.succeed("http://gpu-1:8188/x")
    )
    assert.deepStrictEqual(expand("${ODD}", environment), Result.succeed("${HOST}"))
    assert.deepStrictEqual(expand("no variables, 5 $ and {}", environment), Result.succeed("no variables, 5 $ and {}"))
  })

  it("name all that is missing at once", () => {
    assert.deepStrictEqual(expandAll({ a: "${A}${B:-b}", b: "${C} ${A}" }, {}), Result.fail(["A", "C"]))
  })
})
