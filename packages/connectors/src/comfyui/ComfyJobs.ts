/**
 * Runs jobs on a ComfyUI. An attempt has one prompt, whose id is made from job and attempt; before it sends one it looks
 * whether an earlier attempt, or itself before the worker died, has sent one that runs or is done, and goes on with that.
 */
import type { ConnectorJob, ConnectorServices, RunningConnector } from "@muster/core/connector/Connector"
import { ConnectorFailure, type FailureKind } from "@muster/core/connector/ConnectorFailure"
import type { Progress } from "@muster/core/job/Job"
import { Duration, Effect, Exit, Option, type Redacted, Schema } from "effect"
import * as Previews from "../assets/Previews.ts"
import * as Polling from "../protocol/Polling.ts"
import * as Settings from "../Settings.ts"
import * as ComfyFailure from "./ComfyFailure.ts"
import { type Entry, type Past, type Queue, Workflow } from "./ComfyMessages.ts"
import * as ComfyOffer from "./ComfyOffer.ts"
import * as ComfyServer from "./ComfyServer.ts"
import * as GraphProgress from "./GraphProgress.ts"
import * as Liveness from "./Liveness.ts"
import * as PromptId from "./PromptId.ts"
import * as PromptInputs from "./PromptInputs.ts"
import * as PromptOutputs from "./PromptOutputs.ts"
import * as PromptWatch from "./PromptWatch.ts"

export const Payload = Schema.Struct({
  /** A graph in API format, as "Save (API format)" writes it. */
  workflow: Workflow.check(
    Schema.isMinProperties(1, { expected: "a graph with at least one node" }),
    Schema.isMaxProperties(10_000, { expected: "at most 10000 nodes" })
  ),
  /** Name → file. Where a value in the graph is the name, the name of the uploaded file takes its place. */
  inputs: Schema.optionalKey(PromptInputs.Inputs),
  save_assets: Schema.optionalKey(Schema.Boolean),
  /** Whether temporary files are kept, too; left out: when there are no others. */
  save_temporary: Schema.optionalKey(Schema.Boolean)
}).check(
  Schema.makeFilter(({ inputs = {}, workflow }) =>
    PromptInputs.unused(workflow, inputs).map((name) => ({
      path: ["inputs", name],
      issue: "no value in the workflow is this name"
    }))
  )
)
type Payload = typeof Payload.Type

/** A workflow as the editor saves it, which is no graph that can be run. */
const isOfEditor = Schema.is(Schema.Struct({ workflow: Schema.Struct({ nodes: Schema.Array(Schema.Unknown) }) }))

const notExported = new ConnectorFailure({
  kind: "InvalidPayload",
  message: "workflow: this is what the editor saves; export it for the API instead (Workflow → Export (API))"
})

export interface ComfySettings {
  readonly url: string
  readonly headers: Readonly<Record<string, Redacted.Redacted>>
  readonly timeout: Duration.Duration
  readonly maxRetries: number
  readonly maxConcurrentJobs: number
  readonly silence: Duration.Duration
  readonly patience: Duration.Duration
  readonly stalledAfter: Duration.Duration
  readonly maxInputBytes: number
  /** A preview is kept at most once in this time; zero: never. */
  readonly previewEvery: Duration.Duration
}

/** How long a server is given to hear that a prompt is not wanted any more. */
const stopWithin = Duration.seconds(3)
/** Answers to a prompt that say for certain that it was not taken. */
const refusals: ReadonlySet<FailureKind> = new Set<FailureKind>(["InvalidPayload", "Unauthorized", "RateLimited"])
/** Records that are searched at a server which gives prompts ids of its own. */
const latestLooked = 50

/** A prompt of this job at the server. */
interface Sent {
  /** Its id there: builds before July 2025 choose it themselves. */
  readonly prompt_id: string
  /** Under which its events are told. */
  readonly client_id: string
  readonly isNew: boolean
  readonly node_errors: ReadonlyArray<ComfyFailure.NodeError>
}

const sentAs = ([, prompt_id, , { client_id }]: Entry): Sent => ({
  prompt_id,
  client_id: client_id ?? prompt_id,
  isNew: false,
  node_errors: []
})

const isOf = (ids: ReadonlyArray<string>) => (entry: Entry) => {
  const { client_id, prompt_id } = sentAs(entry)
  return ids.includes(prompt_id) || ids.includes(client_id)
}

/** The prompt of an earlier try may have been farther than that of this one is. */
const forward = (report: (progress: Progress) => Effect.Effect<void>) => {
  let farthest = 0
  return (progress: Progress) => {
    farthest = Math.max(farthest, progress.percent)
    return report({ ...progress, percent: farthest })
  }
}

export const make = Effect.fnUntraced(function* (
  settings: ComfySettings
): Effect.fn.Return<RunningConnector, never, ConnectorServices> {
  const services = yield* Effect.context<ConnectorServices>()
  const server = yield* ComfyServer.make(settings)
  const liveness = Liveness.make(settings.stalledAfter)

  /** A prompt of these ids that waits, runs, or has ended as `isWanted` says. */
  const find = Effect.fnUntraced(function* (
    ids: ReadonlyArray<string>,
    isWanted: (past: Past) => Effect.Effect<boolean>,
    isKnownByClient: boolean
  ): Effect.fn.Return<Option.Option<Sent>, ConnectorFailure> {
    const among = ({ queue_pending, queue_running }: Queue) => [...queue_running, ...queue_pending].find(isOf(ids))
    const wanted = (past: ReadonlyArray<Past>) =>
      Effect.map(
        Effect.findFirst(past, isWanted),
        Option.map(({ prompt }) => sentAs(prompt))
      )
    const [queue, own] = yield* Effect.all([server.queue, server.past(ids[0] ?? "")], { concurrency: 2 })
    const queued = among(queue)
    if (queued !== undefined) return Option.some(sentAs(queued))
    const past = [own, ...(yield* Effect.forEach(ids.slice(1), server.past, { concurrency: 4 }))]
    const found = yield* wanted(past.flatMap(Option.toArray))
    if (Option.isSome(found) || !isKnownByClient) return found
    // Builds that give prompts ids of their own keep the client's; too long a list costs only this.
    const latest = yield* Effect.orElseSucceed(server.latest(latestLooked), () => ({}))
    return yield* wanted(Object.values(latest).filter(({ prompt }) => isOf(ids)(prompt)))
  })

  /** What an earlier try left that can be gone on with. Failed prompts are left alone: they are tried anew. */
  const findEarlier = (ids: ReadonlyArray<string>) =>
    find(ids, (past) => Effect.map(Effect.exit(PromptWatch.ofPast(past)), Exit.isSuccess), ids.length > 1)

  const stop = (prompt_ids: ReadonlyArray<string>) => Polling.insist(server.stop(prompt_ids), stopWithin)

  /** Sends a prompt and gives what became of sending it. Not interrupted, so that what was taken can be stopped. */
  const send = Effect.fnUntraced(function* (workflow: Workflow, id: string) {
    const sent: Sent = { prompt_id: id, client_id: id, isNew: true, node_errors: [] }
    const submitted = server.submit({ id, workflow }).pipe(
      Effect.map(({ node_errors, prompt_id }): Sent => ({
        ...sent,
        prompt_id,
        node_errors: ComfyFailure.nodeErrors(node_errors)
      }))
    )
    return yield* Effect.uninterruptibleMask((restore) =>
      Effect.catch(submitted, (failure) => {
        if (refusals.has(failure.kind)) return Effect.fail(failure)
        // It may have been taken all the same: nothing is given up, or sent again, without looking.
        return restore(find([id], () => Effect.succeed(true), true)).pipe(
          Effect.mapError(() => failure),
          Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : stop([id]))),
          Effect.flatMap(
            Option.match({
              onNone: () => Effect.fail(failure),
              onSome: (found) => Effect.succeed({ ...found, isNew: true })
            })
          )
        )
      })
    )
  })

  /**
   * Follows a prompt to its end, and stops it when that is not waited for. Runs uninterruptibly but for what `restore`
   * lets go: no interruption may fall between hearing of a prompt and being ready to stop it.
   */
  const follow = Effect.fnUntraced(function* (
    restore: Polling.Restore,
    sent: Sent,
    payload: Payload,
    job: ConnectorJob,
    following: PromptWatch.Watched["following"],
    report: (progress: Progress) => Effect.Effect<void>
  ) {
    const isSaving = payload.save_assets !== false
    const previews =
      isSaving && Duration.isPositive(settings.previewEvery)
        ? yield* Previews.make(job, settings.previewEvery, report)
        : Previews.none(report)
    const progress = GraphProgress.make(payload.workflow)
    const done = PromptWatch.untilDone({
      ...settings,
      server,
      liveness,
      prompt_id: sent.prompt_id,
      following,
      progress,
      report: previews.report,
      show: previews.show,
      fromBeginning: sent.isNew
    })
    const outputs = yield* restore(previews.during(done)).pipe(
      Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : stop([sent.prompt_id])))
    )
    const saved = yield* restore(
      PromptOutputs.save({
        server,
        job,
        workflow: payload.workflow,
        outputs,
        save: isSaving,
        temporary: payload.save_temporary,
        report: (done, of) =>
          previews.report({ percent: 95 + (4 * done) / of, message: `saved ${done} of ${of} files` })
      })
    )
    yield* report({ percent: 100, message: "done" })
    return {
      prompt_id: sent.prompt_id,
      outputs: saved.outputs,
      cached_nodes: progress.cached(),
      ...(saved.left_out === 0 ? {} : { left_out: saved.left_out }),
      ...(sent.isNew ? {} : { adopted: true }),
      ...(sent.node_errors.length === 0 ? {} : { node_errors: sent.node_errors }),
      assets: saved.assets
    }
  })

  /** Goes on with a prompt of an earlier try; none when it came to nothing. Interruptible as `follow` is. */
  const adopt = Effect.fnUntraced(
    function* (
      restore: Polling.Restore,
      sent: Sent,
      payload: Payload,
      job: ConnectorJob,
      own: ComfyServer.ComfySocket,
      report: (progress: Progress) => Effect.Effect<void>
    ) {
      // Two sockets of one client would take the events from each other.
      const isOwn = sent.client_id === PromptId.ofAttempt(job, job.attempt)
      const socket = isOwn ? own : yield* server.socket(sent.client_id)
      const following = yield* socket.follow(ComfyServer.topic, { whenFull: "forget" })
      yield* Effect.logInfo(`goes on with prompt ${sent.prompt_id} of an earlier try`)
      return yield* Effect.asSome(follow(restore, sent, payload, job, following, report))
    },
    Effect.scoped,
    Effect.catchTag("FileLost", () => Effect.succeedNone),
    Effect.catchIf(
      (failure) => failure === ComfyFailure.interrupted || failure === ComfyFailure.gone,
      () => Effect.succeedNone
    )
  )

  const fresh = Effect.fnUntraced(function* (
    payload: Payload,
    job: ConnectorJob,
    socket: ComfyServer.ComfySocket,
    report: (progress: Progress) => Effect.Effect<void>
  ) {
    const id = PromptId.ofAttempt(job, job.attempt)
    const workflow = yield* PromptInputs.place(server, payload.workflow, payload.inputs ?? {}, settings.maxInputBytes)
    const following = yield* socket.follow(ComfyServer.topic, { whenFull: "forget" })
    // Events are not said again to a socket that comes late.
    yield* socket.ready
    // What was taken on is always known, so that it can be stopped.
    return yield* Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(send(workflow, id), (sent) => follow(restore, sent, payload, job, following, report))
    )
  })

  const process = Effect.fnUntraced(function* (job: ConnectorJob, tell: (progress: Progress) => Effect.Effect<void>) {
    const report = forward(tell)
    if (isOfEditor(job.payload)) return yield* notExported
    const payload = yield* Settings.decodePayload(Payload, job.payload)
    yield* liveness.check
    const ids = PromptId.ofAttempts(job)
    const socket = yield* server.socket(ids[0] ?? "")
    const [found, result] = yield* Effect.uninterruptibleMask(
      Effect.fnUntraced(function* (restore) {
        // What an earlier try left is not wanted any more, either, found or not.
        const found = yield* Effect.onInterrupt(restore(findEarlier(ids)), () =>
          ids.length > 1 ? stop(ids) : Effect.void
        )
        if (Option.isNone(found)) return [undefined, Option.none()] as const
        return [found.value, yield* adopt(restore, found.value, payload, job, socket, report)] as const
      })
    )
    if (Option.isSome(result)) return result.value
    // Its record must not be taken for that of the prompt which is sent now.
    if (found !== undefined && found.prompt_id === ids[0]) yield* server.forget(found.prompt_id)
    return yield* Effect.catchTag(fresh(payload, job, socket, report), "FileLost", (error) =>
      Effect.fail(new ConnectorFailure({ kind: "ServiceUnavailable", message: error.message }))
    )
  }, Effect.scoped)

  const health = Effect.gen(function* () {
    // Whoever was away is another one when back.
    const remaining = yield* Effect.tapError(server.queueRemaining, () => liveness.clear)
    yield* liveness.saw(remaining === 0 ? { queue_running: [], queue_pending: [] } : yield* server.queue)
  })

  return {
    health,
    process: (job, report) => Effect.provideContext(process(job, report), services),
    max_concurrent_jobs: settings.maxConcurrentJobs,
    offer: ComfyOffer.read(server)
  }
})
