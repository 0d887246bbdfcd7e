/** What `muster doctor` can tell without asking anybody: about this process and what it was told. */
import type { Check } from "@muster/core/diagnosis/Diagnosis"
import * as Finding from "@muster/core/diagnosis/Finding"
import { didYouMean } from "@muster/core/DidYouMean"
import * as MappingDiagnosis from "@muster/core/mapping/MappingDiagnosis"
import * as MappingSource from "@muster/impl/MappingSource"
import { Effect } from "effect"
import * as Configuration from "../../Configuration.ts"

type Environment = Readonly<Record<string, string | undefined>>

/** As the manifests have it. */
const oldestNode = [22, 19] as const

const nodeVersion = (version: string): Finding.Found => {
  const [major = 0, minor = 0] = version.replace(/^v/, "").split(".").map(Number)
  const isNewEnough = major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])
  return isNewEnough
    ? Finding.ok(`Node.js ${version}`)
    : Finding.error(`Node.js ${version} is too old`, `install Node.js ${oldestNode.join(".")} or newer`)
}

/** Variables that look as if they were ours, and that nothing reads. */
export const unknownVariables = (environment: Environment): ReadonlyArray<string> =>
  Object.keys(environment)
    .filter((name) => name.startsWith("MUSTER_") && !Configuration.names.includes(name))
    .toSorted()
    .map((name) => {
      const [guess] = didYouMean(name, Configuration.names)
      return guess === undefined ? name : `${name} (did you mean ${guess}?)`
    })

/** What can be read although something is wrong: the addresses, without those that are none. */
const needed = ["MUSTER_URL", "MUSTER_TOKEN", "MUSTER_QUEUE", "MUSTER_PRIORITY_STEP", "MUSTER_LEASE"]

export interface Told {
  readonly configuration: Configuration.Configuration
  readonly found: Finding.Found
}

/** The configuration, and what is wrong with it; wrong variables are as if they were not set. */
export const configuration = Effect.fnUntraced(function* (environment: Environment) {
  const unknown = unknownVariables(environment)
  const read = yield* Effect.result(Configuration.read(environment))
  if (read._tag === "Success") {
    const found =
      unknown.length === 0
        ? Finding.ok("every variable that is set is understood")
        : Finding.warning(`nothing reads ${unknown.join(", ")}`, "correct the name or unset it: docs/configuration.md")
    return { configuration: read.success, found } satisfies Told
  }
  const { problems } = read.failure
  const broken = new Set(problems.map((problem) => problem.split(":", 1).join()))
  const rest = Object.fromEntries(
    [...needed, "DATABASE_URL", "REDIS_URL"].flatMap((name) =>
      broken.has(name) || environment[name] === undefined ? [] : [[name, environment[name]]]
    )
  )
  const all = unknown.length === 0 ? problems : [...problems, `nothing reads ${unknown.join(", ")}`]
  return {
    configuration: { ...(yield* Configuration.read(rest)), environment },
    found: Finding.error(all.join("; "), "set these variables as they must be, or unset them: docs/configuration.md")
  } satisfies Told
})

/** Which stores this process was told of. */
const stores = ({ databaseUrl, environment, redisUrl }: Configuration.Configuration): Finding.Found => {
  if (databaseUrl !== undefined && redisUrl !== undefined) return Finding.ok("PostgreSQL and Redis")
  if (databaseUrl === undefined && redisUrl === undefined) {
    return Finding.ok("DATABASE_URL and REDIS_URL are not set here: a server started here keeps everything in memory")
  }
  if (redisUrl === undefined) {
    return Finding.error(
      "DATABASE_URL is set and REDIS_URL is not; a server takes both or neither",
      "export REDIS_URL=redis://HOST:6379"
    )
  }
  // A worker needs nothing else, and reaches the registry over the server.
  return environment["MUSTER_URL"] || environment["WORKER_ID"]
    ? Finding.ok("Redis, as a worker needs it; a server needs DATABASE_URL too")
    : Finding.warning(
        "REDIS_URL is set and DATABASE_URL is not: enough for a worker, not for a server",
        "export DATABASE_URL=postgres://USER:PASSWORD@HOST:5432/muster"
      )
}

/** The mapping that a process started here would read. */
const mapping = ({ mappingFile }: Configuration.Configuration): Effect.Effect<Finding.Found> =>
  MappingSource.check(mappingFile).pipe(
    Effect.map(({ file, findings, mapping }) => MappingDiagnosis.ofMapping(file, mapping, findings)),
    Effect.catch(({ message }) =>
      Effect.succeed(Finding.error(message, "let MUSTER_MAPPING name the file of the mapping, or unset it"))
    )
  )

export const checks = ({ configuration, found }: Told): ReadonlyArray<Check> => [
  { name: "node", run: Effect.sync(() => nodeVersion(process.version)) },
  { name: "configuration", run: Effect.succeed(found) },
  { name: "mapping", run: mapping(configuration) },
  { name: "stores", run: Effect.succeed(stores(configuration)) }
]
