/** Which build of Muster this process runs. */
import { Context } from "effect"

export const BuildInfo = Context.Reference<{ readonly version: string }>("@muster/core/diagnosis/BuildInfo", {
  defaultValue: () => ({ version: "unknown" })
})
