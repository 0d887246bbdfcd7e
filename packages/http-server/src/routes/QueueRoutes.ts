/** Answers why jobs wait with the queries of core. */
import * as JobExplanation from "@muster/core/job/JobExplanation"
import * as QueueView from "@muster/core/job/QueueView"
import { Effect, Layer } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../contract/Api.ts"
import * as CoreAnswers from "./CoreAnswers.ts"
import * as Stores from "./Stores.ts"

export const layer = HttpApiBuilder.group(
  Api,
  "queue",
  Effect.fnUntraced(function* (handlers) {
    const withStores = yield* Stores.make
    const answered = yield* CoreAnswers.make
    const withView = Effect.provideService(QueueView.QueueView, yield* QueueView.QueueView)
    return handlers.handleAll({
      explain: ({ params, query }) => JobExplanation.explainJob(params.id, query).pipe(answered, withStores),
      view: ({ query }) => QueueView.viewQueue(query).pipe(withView, answered, withStores)
    })
  })
).pipe(Layer.provide(QueueView.layer))
