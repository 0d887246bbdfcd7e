/** Whatever workers and jobs do: as long as a worker idles that could run a job, somebody is on the way to it. */
import { assert, it } from "@effect/vitest"
import { Arbitrary, Effect, Queue, Schema } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { type Fence, type Job, type JobRequest, request } from "@muster/core/job/Job"
import { matches } from "@muster/core/job/Matching"
import type { Capabilities } from "@muster/core/worker/Worker"
import { jobId, offer, worker } from "./QueueTest.ts"

const kinds: Record<string, Partial<JobRequest>> = {
  plain: {},
  gold: { requirements: { labels: { tier: "gold" } } },
  "not gold": { requirements: { exclude: { tier: "gold" } } },
  "of c1": { customer_id: "c1" }
}
const offers: Record<string, Capabilities> = {
  plain: offer(),
  gold: offer({ labels: { tier: "gold" } }),
  "denies c1": offer({ customers: { deny: ["c1"] } }),
  other: offer({ job_types: ["other"] })
}

const names = ["w1", "w2", "w3", "w4", "w5"] as const
const Worker = Schema.Literals(names)
const Submit = Schema.TaggedStruct("submit", { kind: Schema.Literals(["plain", "gold", "not gold", "of c1"]) })
const Claim = Schema.TaggedStruct("claim", {
  worker: Worker,
  offer: Schema.Literals(["plain", "gold", "denies c1", "other"]),
  limit: Schema.Literals([1, 2])
})
const Command = Schema.Union([
  Submit,
  Submit,
  Claim,
  Claim,
  Claim,
  Schema.TaggedStruct("leave", { worker: Worker }),
  Schema.TaggedStruct("stand", { worker: Worker, standing: Schema.Literals(["open", "open", "paused"]) }),
  Schema.TaggedStruct("give back", { which: Schema.Literals([0, 1, 2]) }),
  Schema.TaggedStruct("cancel", { which: Schema.Literals([0, 1, 2]) }),
  Schema.TaggedStruct("tick", {})
])
type Command = typeof Command.Type

interface Parked {
  readonly capabilities: Capabilities
  woken: boolean
}

/** The jobs for which no woken worker is left when each takes one. */
const unattended = (jobs: ReadonlyArray<Job>, woken: ReadonlyArray<Parked>): ReadonlyArray<Job> => {
  const takes = new Map<Parked, Job>()
  const attend = (job: Job, asked: Set<Parked>): boolean =>
    woken.some((idle) => {
      if (asked.has(idle) || !matches(job, idle.capabilities)) return false
      asked.add(idle)
      const taken = takes.get(idle)
      if (taken !== undefined && !attend(taken, asked)) return false
      takes.set(idle, job)
      return true
    })
  return jobs.filter((job) => !attend(job, new Set()))
}

it.effect.prop(
  "noLostWake: no job waits beside an idle worker that could run it, unless a woken one is there for it",
  { commands: Arbitrary.array(Arbitrary.schema(Command), { maxLength: 60 }) },
  ({ commands }) =>
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const ears = yield* Effect.forEach(names, (name) =>
        Effect.map(queue.signals(worker(name)), (ear) => ({ name, ear }))
      )
      const parked = new Map<string, Parked>()
      const closed = new Set<string>()
      const fences: Array<Fence> = []
      let submitted = 0

      const follow = Effect.fnUntraced(function* (command: Command) {
        switch (command._tag) {
          case "submit": {
            const asked = request({ service_required: "simulation", ...kinds[command.kind] })
            return yield* queue.submit(jobId(`j${++submitted}`), asked)
          }
          case "claim": {
            const nonce = `nonce-${fences.length}`
            const capabilities = offers[command.offer]!
            const { limit, worker: name } = command
            const jobs = yield* queue.claim({ worker_id: worker(name), capabilities, capacity: 1_000, limit, nonce })
            fences.push(...jobs.map(({ attempt, id }) => ({ job_id: id, attempt, nonce })))
            if (jobs.length === 0 && !closed.has(name)) parked.set(name, { capabilities, woken: false })
            else parked.delete(name)
            return
          }
          case "leave":
            parked.delete(command.worker)
            return yield* queue.leaveIdle(worker(command.worker))
          case "stand":
            if (command.standing === "open") closed.delete(command.worker)
            else {
              closed.add(command.worker)
              parked.delete(command.worker)
            }
            return yield* queue.setStanding(worker(command.worker), command.standing)
          case "give back": {
            const fence = fences.at(-1 - command.which)
            return fence === undefined ? undefined : yield* Effect.ignore(queue.giveBack(fence))
          }
          case "cancel":
            return yield* Effect.ignore(queue.cancel(jobId(`j${submitted - command.which}`)))
          case "tick":
            return yield* queue.tick
        }
      })

      for (const [step, command] of commands.entries()) {
        yield* follow(command)
        const where = `command ${step}: ${JSON.stringify(command)}`
        for (const { ear, name } of ears) {
          for (const signal of yield* Queue.clear(ear)) {
            const idle = parked.get(name)
            if (signal._tag !== "Wake" || idle === undefined) continue
            assert.isFalse(idle.woken, `${where} woke ${name} twice`)
            idle.woken = true
          }
        }
        const idle = [...parked.values()]
        const waiting = (yield* queue.list({ status: "pending", limit: 100 })).jobs
          .map(({ job }) => job)
          .filter((job) => idle.some(({ capabilities, woken }) => !woken && matches(job, capabilities)))
        const missed = unattended(
          waiting,
          idle.filter(({ woken }) => woken)
        )
        assert.deepStrictEqual(missed, [], where)
      }
    }).pipe(Effect.scoped, Effect.provide(MemoryJobQueue.layer)),
  { arbitrary: { runs: 500, size: 120 } }
)
