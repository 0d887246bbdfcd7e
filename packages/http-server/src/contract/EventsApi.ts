/**
 * What happens, as server-sent events: of all jobs, workers and machines, or of one job. `EventFrames` says what is
 * sent.
 */
import { Name } from "@muster/core/Identifier"
import { EventType } from "@muster/core/event/Event"
import { EventCursor } from "@muster/core/event/EventCursor"
import { JobId } from "@muster/core/job/Job"
import { WorkerId } from "@muster/core/worker/Worker"
import { Schema, SchemaTransformation } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import * as Problems from "./Problems.ts"

/** Given several times, or with commas between. */
const Types = Schema.Array(Schema.String).pipe(
  Schema.decodeTo(
    Schema.Array(Schema.toEncoded(EventType)),
    SchemaTransformation.transform<ReadonlyArray<EventType>, ReadonlyArray<string>>({
      // What is no type is refused by the schema of the result.
      decode: (texts) => texts.flatMap((text) => text.split(",")) as ReadonlyArray<EventType>,
      encode: (types) => types
    })
  )
)

/** Where a reader goes on: the `id` of the last frame that it got. Browsers send it by themselves. */
const LastEventId = Schema.Struct({ "last-event-id": Schema.optionalKey(EventCursor) })

const body = HttpApiSchema.StreamUint8Array({ contentType: "text/event-stream" })

const errors = [Problems.TooManyStreams, ...Problems.commonOfStores] as const

const frames =
  "Each frame of the stream has the cursor of the event as `id`, its type as `event` and the event as JSON in `data`."

export class EventsApi extends HttpApiGroup.make("events")
  .add(
    HttpApiEndpoint.get("follow", "/events", {
      query: {
        type: Schema.optionalKey(
          Types.annotate({ description: "Only events of these types; repeat it, or put commas between." })
        ),
        job_id: Schema.optionalKey(JobId),
        worker_id: Schema.optionalKey(WorkerId),
        machine_id: Schema.optionalKey(Name),
        service_required: Schema.optionalKey(Name),
        customer_id: Schema.optionalKey(Name),
        workflow_id: Schema.optionalKey(Name),
        after: Schema.optionalKey(
          EventCursor.annotate({ description: "Go on after this event; `Last-Event-ID` goes before it." })
        ),
        from: Schema.optionalKey(
          Schema.Literal("start").annotate({ description: "Begin with the oldest event that is kept." })
        )
      },
      headers: LastEventId,
      success: body,
      error: errors
    })
      .annotate(OpenApi.Summary, "Follow what happens")
      .annotate(
        OpenApi.Description,
        `Goes on after the cursor that is given; without one \`begin\` comes first, with the \`position\` it begins at, ` +
          `and then what happens from now on. ${frames} \`reset\`, with \`position\` and \`why\`, says that events after ` +
          "the cursor are not kept any more: read the state again."
      ),

    HttpApiEndpoint.get("ofJob", "/jobs/:id/events", {
      params: { id: JobId },
      headers: LastEventId,
      success: body,
      error: [Problems.JobNotFound, ...errors]
    })
      .annotate(OpenApi.Summary, "Follow one job to its end")
      .annotate(
        OpenApi.Description,
        `Begins with \`snapshot\`, the job as it is, and ends with \`end\`, the job as it ended. ${frames}`
      )
  )
  .annotate(OpenApi.Title, "Events") {}
