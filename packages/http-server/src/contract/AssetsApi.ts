/** What jobs made, and what they are given because it is too large for a payload, over HTTP. */
import { Asset, AssetFileName, AssetType } from "@muster/core/connector/Asset"
import { JobId } from "@muster/core/job/Job"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import * as Problems from "./Problems.ts"

const bytes = HttpApiSchema.StreamUint8Array({ contentType: "application/octet-stream" })

export class AssetsApi extends HttpApiGroup.make("assets")
  .add(
    HttpApiEndpoint.get("ofJob", "/jobs/:id/assets/:file_name", {
      params: { id: JobId, file_name: AssetFileName },
      success: bytes,
      error: [Problems.AssetNotFound, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "An asset of a job, as its result names it"),

    HttpApiEndpoint.post("keep", "/assets", {
      query: { type: Schema.optionalKey(AssetType) },
      payload: bytes,
      success: Schema.Struct({ asset: Asset }).pipe(HttpApiSchema.status(201)),
      error: Problems.commonOfStores
    }).annotate(OpenApi.Summary, "Keep an input that is too large for a payload; a payload can name it")
  )
  .annotate(OpenApi.Title, "Assets") {}
