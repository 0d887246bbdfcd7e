/**
 * What a job asks of a web UI: the fields of its own API, and nothing else. Images are given by URL or as assets, never
 * as the web UI would fetch them itself.
 */
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { Effect, Schema, Struct } from "effect"
import * as InputImage from "../assets/InputImage.ts"
import * as Settings from "../Settings.ts"
import type { Mode } from "./WebUi.ts"

const text = Schema.String.check(Schema.isMaxLength(100_000))
const name = Schema.String.check(Schema.isMaxLength(1_000))
const whole = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const any = Schema.Record(Schema.String, Schema.Unknown)

const pixels = whole(1, 16_384)

const always = {
  /** The web UI draws something without one; a job without one is a mistake. */
  prompt: text,
  save_assets: Schema.optionalKey(Schema.Boolean)
}

const common = Schema.Struct({
  negative_prompt: text,
  styles: Schema.Array(name),
  seed: Schema.Int,
  subseed: Schema.Int,
  subseed_strength: Schema.Finite,
  seed_resize_from_h: Schema.Int,
  seed_resize_from_w: Schema.Int,
  sampler_name: name,
  scheduler: name,
  batch_size: whole(1, 64),
  n_iter: whole(1, 100),
  steps: whole(1, 1_000),
  cfg_scale: Schema.Finite,
  width: pixels,
  height: pixels,
  restore_faces: Schema.Boolean,
  tiling: Schema.Boolean,
  denoising_strength: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })),
  eta: Schema.Finite,
  s_min_uncond: Schema.Finite,
  s_churn: Schema.Finite,
  s_tmax: Schema.Finite,
  s_tmin: Schema.Finite,
  s_noise: Schema.Finite,
  override_settings: any,
  override_settings_restore_afterwards: Schema.Boolean,
  refiner_checkpoint: name,
  refiner_switch_at: Schema.Finite,
  disable_extra_networks: Schema.Boolean,
  script_name: name,
  script_args: Schema.Array(Schema.Unknown),
  alwayson_scripts: any
})

const txt2img = Schema.Struct({
  enable_hr: Schema.Boolean,
  firstphase_width: whole(0, 16_384),
  firstphase_height: whole(0, 16_384),
  hr_scale: Schema.Finite,
  hr_upscaler: name,
  hr_second_pass_steps: whole(0, 1_000),
  hr_resize_x: whole(0, 16_384),
  hr_resize_y: whole(0, 16_384),
  hr_checkpoint_name: name,
  hr_sampler_name: name,
  hr_scheduler: name,
  hr_prompt: text,
  hr_negative_prompt: text
})

const img2img = Schema.Struct({
  mask: InputImage.Given,
  mask_blur: whole(0, 1_000),
  mask_blur_x: whole(0, 1_000),
  mask_blur_y: whole(0, 1_000),
  inpainting_fill: whole(0, 3),
  inpaint_full_res: Schema.Boolean,
  inpaint_full_res_padding: whole(0, 1_000),
  inpainting_mask_invert: whole(0, 1),
  initial_noise_multiplier: Schema.Finite,
  image_cfg_scale: Schema.Finite,
  resize_mode: whole(0, 3)
})

export const FromText = Schema.Struct({
  mode: Schema.optionalKey(Schema.Literal("txt2img")),
  ...always,
  ...common.mapFields(Struct.map(Schema.optionalKey)).fields,
  ...txt2img.mapFields(Struct.map(Schema.optionalKey)).fields
})

export const FromImages = Schema.Struct({
  mode: Schema.Literal("img2img"),
  init_images: Schema.Array(InputImage.Given).check(
    Schema.isMinLength(1, { expected: "an image at least" }),
    Schema.isMaxLength(16, { expected: "at most 16 images" })
  ),
  ...always,
  ...common.mapFields(Struct.map(Schema.optionalKey)).fields,
  ...img2img.mapFields(Struct.map(Schema.optionalKey)).fields
})

export interface Generation {
  readonly mode: Mode
  /** As the web UI is sent it. */
  readonly request: Readonly<Record<string, unknown>>
  readonly save_assets: boolean
}

/** All images of a request together, in bytes: it goes out as one text. */
const mostBytes = 128 * 1024 * 1024

/** Reads images as base64, as long as they are not too much together. */
const reader = () => {
  let total = 0
  return Effect.fnUntraced(function* (name: string, given: InputImage.Given) {
    const file = yield* InputImage.read(name, given)
    total += file.size
    if (total > mostBytes) {
      const message = `${name}: the images are larger than ${mostBytes} bytes together`
      return yield* new ConnectorFailure({ kind: "InvalidPayload", message })
    }
    const bytes = yield* Effect.promise(() => file.arrayBuffer())
    return Buffer.from(bytes).toString("base64")
  })
}

const Mode = Schema.Struct({ mode: Schema.optionalKey(Schema.Literals(["txt2img", "img2img"])) })

/** Reads the payload of a job, and the images that it names. */
export const read = Effect.fnUntraced(function* (payload: unknown) {
  const isFromImages = Schema.is(Mode)(payload) && payload.mode === "img2img"
  if (!isFromImages) {
    const { mode = "txt2img", save_assets = true, ...request } = yield* Settings.decodePayload(FromText, payload)
    return { mode, request, save_assets } satisfies Generation as Generation
  }
  const decoded = yield* Settings.decodePayload(FromImages, payload)
  const { init_images, mask, mode, save_assets = true, ...rest } = decoded
  const base64 = reader()
  const images = yield* Effect.forEach(init_images, (image, at) => base64(`init_images.${at}`, image))
  const masked = mask === undefined ? {} : { mask: yield* base64("mask", mask) }
  return { mode, request: { ...rest, init_images: images, ...masked }, save_assets } satisfies Generation as Generation
})
