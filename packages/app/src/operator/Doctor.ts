/** What `muster doctor` does: looks at everything at once, from here and from the server, and tells it in one order. */
import * as Diagnosis from "@muster/core/diagnosis/Diagnosis"
import * as Finding from "@muster/core/diagnosis/Finding"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import * as StoreDiagnosis from "@muster/impl/StoreDiagnosis"
import { Effect, Fiber, Logger, Runtime, Schema, Stream } from "effect"
import type { Configuration } from "../Configuration.ts"
import { environment } from "../Environment.ts"
import * as Output from "../terminal/Output.ts"
import { version } from "../Version.ts"
import * as Report from "./doctor/Report.ts"
import * as ServerVisit from "./doctor/ServerVisit.ts"
import * as Surroundings from "./doctor/Surroundings.ts"

/** Something is wrong; it is told already. */
export class Unwell extends Schema.TaggedError<Unwell>("@muster/app/operator/Doctor/Unwell")("Unwell", {}) {
  override readonly [Runtime.errorExitCode] = 1
  override readonly [Runtime.errorReported] = false
}

/** The checks of the stores that are named here, on connections of their own. */
const storeChecks = Effect.fnUntraced(
  function* ({ databaseUrl, redisUrl }: Configuration) {
    const postgres = databaseUrl === undefined ? [] : yield* StoreDiagnosis.postgresChecks(databaseUrl)
    const redis =
      redisUrl === undefined
        ? []
        : yield* Effect.catch(StoreDiagnosis.redisChecks(redisUrl), ({ detail }) =>
            Effect.succeed([
              {
                name: "redis.connection",
                run: Effect.succeed(Finding.error(detail, "export REDIS_URL=redis://HOST:6379"))
              }
            ])
          )
    return [...postgres, ...redis]
  },
  (checks, { queue }) => Effect.provideService(checks, QueueSettings, queue)
)

/** Runs checks from here: the finding of each by its name, when it is known; undefined when it has nothing to say. */
const findings = Effect.fnUntraced(function* (checks: ReadonlyArray<Diagnosis.Check>) {
  const found = new Map<string, Fiber.Fiber<Finding.Finding | undefined>>()
  for (const check of checks) {
    const run = Effect.map(Stream.runCollect(Diagnosis.run([check])), ([finding]) => finding)
    found.set(check.name, yield* Effect.forkScoped(run, { startImmediately: true }))
  }
  return (name: string): Effect.Effect<Finding.Finding | undefined> => {
    const fiber = found.get(name)
    return fiber === undefined ? Effect.succeed(undefined) : Fiber.join(fiber)
  }
})

/** What needs nobody else, and is told before anybody has answered. */
const alone = ["node", "configuration"]

const byName = (findings: ReadonlyArray<Finding.Finding>, name: string) =>
  findings.find((finding) => finding.name === name)

/** The lines in their order, each as soon as it is known. */
const lines = Effect.fnUntraced(function* (told: Surroundings.Told) {
  const { configuration } = told
  const hasStores = configuration.databaseUrl !== undefined || configuration.redisUrl !== undefined
  const mayBeAway = hasStores && !configuration.environment["MUSTER_URL"]
  const visit = yield* Effect.forkScoped(ServerVisit.visit(configuration, mayBeAway), { startImmediately: true })
  const stores = yield* Effect.forkScoped(
    Effect.flatMap(storeChecks(configuration), (checks) => Effect.map(findings(checks), (find) => ({ checks, find }))),
    { startImmediately: true }
  )
  const surroundings = Surroundings.checks(told)
  const inSurroundings = yield* findings(surroundings)

  const first = Stream.mapEffect(Stream.fromIterable(alone), (name) =>
    Effect.map(inSurroundings(name), (finding) => Report.merge(finding, undefined))
  )
  const others = Effect.gen(function* () {
    const [visited, { checks, find }] = [yield* Fiber.join(visit), yield* Fiber.join(stores)]
    const names = Report.namesOf([...surroundings, ...checks], [...visited.here, ...visited.server])
    return Stream.mapEffect(Stream.fromIterable(names.filter((name) => !alone.includes(name))), (name) =>
      Effect.gen(function* () {
        const here = byName(visited.here, name) ?? (yield* inSurroundings(name)) ?? (yield* find(name))
        return Report.merge(here, byName(visited.server, name))
      })
    )
  })
  return Stream.concat(first, Stream.unwrap(others)).pipe(Stream.flatMap((merged) => Stream.fromIterable(merged)))
})

/** `muster doctor` */
export const examine = Effect.fn("Doctor.examine")(
  function* (flags: { readonly json: boolean }) {
    const told = yield* Surroundings.configuration(environment)
    const all: Array<Report.Line> = []
    const working = flags.json ? Effect.void : Output.statusLine(() => "looking…")
    const done = flags.json ? Effect.void : Output.statusLine(() => "")
    yield* working
    yield* Stream.runForEach(
      yield* lines(told),
      Effect.fnUntraced(function* (line) {
        all.push(line)
        if (flags.json) return
        yield* done
        yield* Output.print(Report.show(line, (yield* Output.canvas).style))
        yield* working
      })
    ).pipe(Effect.ensuring(done))
    const isWell = all.every(({ verdict }) => verdict !== "error")
    if (flags.json) yield* Output.printJson({ version, ok: isWell, findings: all })
    else yield* Output.print(`\n${Report.summary(all)}`)
    if (!isWell) return yield* new Unwell()
  },
  Effect.scoped,
  // What the connections log on their way is among the findings.
  Effect.provide(Logger.layer([]))
)
