/** What of a mapping is not told. */
import { redacted } from "@muster/core/mapping/Redaction"
import type { ServiceEntry } from "@muster/core/mapping/ServiceMapping"
import { describe, expect, it } from "vitest"

const service = (entry: Partial<ServiceEntry>) =>
  redacted({ workers: {}, services: { s: { connector: "C", type: "external", ...entry } } }).services["s"]

describe("a mapping that is told", () => {
  it("keeps its templates as they are written", () => {
    const api_config = {
      api_key: "${OPENAI_API_KEY}",
      base_url: "${OPENAI_BASE_URL:-https://api.openai.com/v1}",
      timeout: 60,
      max_tokens: 4096,
      stream: true
    }
    expect(service({ api_config })?.api_config).toEqual(api_config)
  })

  it("has no literal secrets: by the name of the setting, of the variable, or by their place", () => {
    const api_config = {
      api_key: "sk-live-1",
      auth_token: "Bearer ${TOKEN}",
      password: "${DB_PASSWORD:-hunter2}",
      base_url: "https://user:hunter2@host/v1?api_key=sk-live-1",
      header: "x ${ACCESS_TOKEN:-hunter2} y"
    }
    const command = ["serve", "--port", "80", "--api-token", "sk-live-1", "--secret=hunter2", "--key", "${KEY}"]
    const told = service({ api_config, command, telemetry_logs: [{ path: "/logs?token=sk-live-1" }] })
    const text = JSON.stringify(told)
    expect(text).not.toContain("sk-live-1")
    expect(text).not.toContain("hunter2")
    expect(told?.command).toEqual([
      "serve",
      "--port",
      "80",
      "--api-token",
      "(redacted)",
      "--secret=(redacted)",
      "--key",
      "${KEY}"
    ])
    expect(told?.api_config?.["base_url"]).toBe("https://user:(redacted)@host/v1?api_key=(redacted)")
  })
})
