/**
 * Looks up archived jobs for concurrent callers together: every submit that brings an id of its own asks. As with
 * heartbeats (`HeartbeatWriter`), a lone question waits for nothing, and under load the questions of many become one.
 */
import type { Placed } from "@muster/core/job/internal/JobQueue"
import type { JobId } from "@muster/core/job/Job"
import type { StorageError } from "@muster/core/job/JobErrors"
import { Deferred, Effect, Exit, Option, Queue, type Scope } from "effect"

/** While one waits for the database, another can already be on its way. */
const lookers = 2
const batchSize = 1_000

interface Question {
  readonly id: JobId
  readonly answer: Deferred.Deferred<Option.Option<Placed>, StorageError>
}

type Find = (ids: ReadonlyArray<JobId>) => Effect.Effect<ReadonlyArray<Placed>, StorageError>

const answerAll = (
  questions: Iterable<Question>,
  of: (id: JobId) => Exit.Exit<Option.Option<Placed>, StorageError>
) => {
  for (const { answer, id } of questions) Deferred.doneUnsafe(answer, of(id))
}

/** The same question as `find` asks, joined with those of others. */
export const make = Effect.fnUntraced(function* (find: Find): Effect.fn.Return<Find, never, Scope.Scope> {
  const waiting = yield* Queue.unbounded<Question>()

  const look = (questions: ReadonlyArray<Question>) =>
    Effect.exit(find([...new Set(questions.map(({ id }) => id))])).pipe(
      Effect.flatMap((exit) => {
        if (Exit.isSuccess(exit)) {
          const found = new Map(exit.value.map((placed) => [placed.job.id, placed]))
          answerAll(questions, (id) => Exit.succeed(Option.fromUndefinedOr(found.get(id))))
          return Effect.void
        }
        // The others would wait as long to hear the same.
        const failed = Exit.failCause(exit.cause)
        return Effect.map(Queue.clear(waiting), (others) => answerAll([...questions, ...others], () => failed))
      }),
      Effect.onInterrupt(() => Effect.sync(() => answerAll(questions, () => Exit.interrupt())))
    )

  yield* Effect.addFinalizer(() =>
    Effect.map(Queue.clear(waiting), (questions) => answerAll(questions, () => Exit.interrupt()))
  )
  const looker = Effect.forever(Effect.flatMap(Queue.takeBetween(waiting, 1, batchSize), look))
  yield* Effect.replicateEffect(Effect.forkScoped(looker), lookers)

  return (ids) =>
    Effect.suspend(() => {
      const questions = ids.map((id): Question => ({ id, answer: Deferred.makeUnsafe() }))
      Queue.offerAllUnsafe(waiting, questions)
      return Effect.map(
        Effect.forEach(questions, ({ answer }) => Deferred.await(answer)),
        (found) => found.flatMap(Option.toArray)
      )
    })
})
