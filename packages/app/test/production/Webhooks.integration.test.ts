/** Webhooks with servers and a worker as processes of their own, on real stores. */
import { assert, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { startPostgres, startRedis } from "../../../../tools/servers/testServers.ts"
import { eventsOf, hangs, isSigned, ok, receiver } from "../../../impl/test/webhookReceiver.ts"
import { startBroker, startWorker } from "./processes.ts"

const eventually = (what: string, holds: () => boolean) =>
  Effect.sync(holds).pipe(
    Effect.repeat({ until: (held) => held, schedule: Schedule.spaced("20 millis") }),
    Effect.timeoutOrElse({ duration: "60 seconds", orElse: () => Effect.die(new Error(`${what}: not within 60 s`)) })
  )

const ids = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => `job-${from + n}`)

const post = (url: string, body: unknown) =>
  Effect.promise(async () => {
    const headers = { "content-type": "application/json" }
    const answer = await fetch(url, { method: "POST", body: JSON.stringify(body), headers })
    return { status: answer.status, body: (await answer.json()) as any }
  })

it.live(
  "a server that dies while it delivers loses nothing, and what it had no answer for comes again",
  () =>
    Effect.gen(function* () {
      const [postgres, redis] = yield* Effect.all([startPostgres(), startRedis()], { concurrency: 2 })
      const env = {
        DATABASE_URL: postgres.url,
        REDIS_URL: redis.url,
        MUSTER_WEBHOOK_ALLOW_PRIVATE: "127.0.0.0/8",
        MUSTER_WEBHOOK_TIMEOUT: "60s"
      }
      const target = yield* receiver(ok)
      const has = (type: string, jobs: ReadonlyArray<string>) => () => {
        const known = new Set(eventsOf(target).map((event) => `${event.type} ${event.job_id}`))
        return jobs.every((job) => known.has(`${type} ${job}`))
      }

      // The first server works on the webhook before there is another.
      const first = yield* startBroker("server", env)
      const submit = (url: string, jobs: ReadonlyArray<string>) =>
        Effect.map(
          post(`${url}/jobs/batch`, {
            jobs: jobs.map((id) => ({ id, service_required: "simulation", payload: { duration_ms: 10 } }))
          }),
          ({ status }) => assert.strictEqual(status, 201)
        )
      yield* Effect.promise(async () => {
        while (!(await fetch(`${first.url}/ready`)).ok);
      })
      const types = ["job.submitted", "job.completed"]
      const registered = yield* post(`${first.url}/webhooks`, { id: "hook", url: target.url, filter: { types } })
      assert.strictEqual(registered.status, 201)
      yield* submit(first.url, ids(1, 1))
      yield* eventually("the first event", has("job.submitted", ids(1, 1)))

      const second = yield* startBroker("server", env)
      const worker = { WORKER_ID: "worker", CONNECTORS: "simulation", MUSTER_URL: second.url, MUSTER_CAPACITY: "4" }
      yield* startWorker({ ...env, ...worker })
      yield* submit(second.url, ids(2, 11))
      yield* eventually("ten jobs done", has("job.completed", ids(1, 11)))

      const before = target.received.length
      target.behaviour = hangs
      yield* submit(second.url, ids(12, 16))
      yield* eventually("a delivery without an answer", () => target.received.length > before)
      yield* first.kill
      target.behaviour = ok
      yield* submit(second.url, ids(17, 21))
      yield* eventually("all jobs done", has("job.completed", ids(1, 21)))
      yield* eventually("all jobs submitted", has("job.submitted", ids(1, 21)))

      const unanswered = new Set(target.received[before]?.json.events.map((event: any) => event.cursor))
      const seen = new Map<string, any>()
      for (const event of eventsOf(target)) {
        if (seen.has(event.cursor)) assert.isTrue(unanswered.has(event.cursor), "only what had no answer comes twice")
        else seen.set(event.cursor, event)
      }
      const events = [...seen.values()]
      for (const type of types) {
        const jobs = events.filter((event) => event.type === type).map((event): string => event.job_id)
        assert.deepStrictEqual(jobs.toSorted(), ids(1, 21).toSorted(), "each once")
      }
      const place = (event: any) => String(event.cursor).split(".")[1]?.split("-").map(Number) ?? []
      const inOrder = events.toSorted((a, b) => {
        const [left, right] = [place(a), place(b)]
        return left.map((part, n) => part - (right[n] ?? 0)).find((difference) => difference !== 0) ?? 0
      })
      assert.deepStrictEqual(events, inOrder)
      assert.isTrue(target.received.every((request) => isSigned(request, registered.body.secret)))
    }).pipe(Effect.scoped),
  240_000
)
