/** Settings that both ComfyUI connectors have. */
import { Duration, Schema } from "effect"
import * as Settings from "../Settings.ts"
import type { ComfySettings } from "./ComfyJobs.ts"

export const Variables = Schema.Struct({
  COMFYUI_TIMEOUT_SECONDS: Settings.integer(1, 3_600),
  COMFYUI_MAX_RETRIES: Settings.integer(0, 10),
  COMFYUI_MAX_CONCURRENT_JOBS: Settings.integer(1, 1_000),
  COMFYUI_SILENCE_SECONDS: Settings.amount(0.01, 3_600),
  COMFYUI_PATIENCE_SECONDS: Settings.amount(0, 86_400),
  COMFYUI_STALLED_SECONDS: Settings.amount(0.1, 3_600),
  COMFYUI_MAX_INPUT_MB: Settings.integer(1, 2_048),
  /** 0: none are kept. */
  COMFYUI_PREVIEW_INTERVAL_MS: Settings.integer(0, 3_600_000)
})

export const variables = {
  COMFYUI_TIMEOUT_SECONDS: "${COMFYUI_TIMEOUT_SECONDS:-30}",
  COMFYUI_MAX_RETRIES: "${COMFYUI_MAX_RETRIES:-3}",
  COMFYUI_MAX_CONCURRENT_JOBS: "${COMFYUI_MAX_CONCURRENT_JOBS:-1}",
  COMFYUI_SILENCE_SECONDS: "${COMFYUI_SILENCE_SECONDS:-10}",
  COMFYUI_PATIENCE_SECONDS: "${COMFYUI_PATIENCE_SECONDS:-60}",
  COMFYUI_STALLED_SECONDS: "${COMFYUI_STALLED_SECONDS:-30}",
  COMFYUI_MAX_INPUT_MB: "${COMFYUI_MAX_INPUT_MB:-100}",
  COMFYUI_PREVIEW_INTERVAL_MS: "${COMFYUI_PREVIEW_INTERVAL_MS:-3000}"
}

export const common = (settings: typeof Variables.Type): Omit<ComfySettings, "url" | "headers"> => ({
  timeout: Duration.seconds(settings.COMFYUI_TIMEOUT_SECONDS),
  maxRetries: settings.COMFYUI_MAX_RETRIES,
  maxConcurrentJobs: settings.COMFYUI_MAX_CONCURRENT_JOBS,
  silence: Duration.seconds(settings.COMFYUI_SILENCE_SECONDS),
  patience: Duration.seconds(settings.COMFYUI_PATIENCE_SECONDS),
  stalledAfter: Duration.seconds(settings.COMFYUI_STALLED_SECONDS),
  maxInputBytes: settings.COMFYUI_MAX_INPUT_MB * 1024 * 1024,
  previewEvery: Duration.millis(settings.COMFYUI_PREVIEW_INTERVAL_MS)
})
