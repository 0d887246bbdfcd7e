#!/usr/bin/env node
// Plain old JavaScript on purpose: it has to run on a Node too old for everything else, to be able to say so.
var required = [22, 19]
var running = process.versions.node.split(".").map(Number)
if (running[0] < required[0] || (running[0] === required[0] && running[1] < required[1])) {
  console.error(
    "muster needs Node.js " +
      required.join(".") +
      " or newer; this is " +
      process.versions.node +
      ".\n" +
      "Inside this repository the pinned one is used by `npm start`, `npm run` and `npx muster`."
  )
  process.exit(2)
}
import("node:module")
  .then(function (module) {
    if (module.enableCompileCache) module.enableCompileCache()
    return import("../dist/Main.js")
  })
  .catch(function (error) {
    if (error && error.code === "ERR_MODULE_NOT_FOUND" && String(error.message).indexOf("Main.js") >= 0) {
      console.error("muster is not built; run `npm ci` or `npm run build` first.")
    } else {
      console.error(error)
    }
    process.exit(1)
  })
