/**
 * Settles which classes match which signatures: takes from Redis what has to be compared, asks the one matching rule,
 * and tells the outcome. Of each pair the later born is settled; every step can be repeated, and taken by any process.
 * Source: broker rules 8 and 12.
 */
import { factsOf, machinesNamed, parseRequirements } from "@muster/core/job/RequirementClass"
import { matches } from "@muster/core/job/Matching"
import { namesIn, onMachine, signatureOf } from "@muster/core/worker/CapabilitySignature"
import { Capabilities } from "@muster/core/worker/Worker"
import { Array, Effect, Option, Schema, Semaphore } from "effect"
import { hashOf } from "./Hash.ts"
import type { RedisFailure } from "./RedisFailure.ts"
import type { FunctionCalls } from "./RedisFunctions.ts"
import * as SettleCommands from "./SettleCommands.ts"

/** Signatures whose outcome for a class one call takes. */
const perOutcome = 500
/** Classes whose outcome for a signature one call takes: each may have to move. */
const classesPerOutcome = 25
/** Signatures remembered; beyond that they are asked for anew. */
const remembered = 10_000

/** A machine as Redis knows it: its name may be any text, and those that a class names stand on a line each. */
const writtenMachine = (machine: string): string =>
  machine.replace(/[%\n]/g, (character) => encodeURIComponent(character))
const readMachine = (written: string): string => written.replace(/%25|%0A/g, decodeURIComponent)

/** What a claim is made by. */
export interface ClaimSignature {
  readonly id: string
  /** As Redis knows it. */
  readonly machine: string
  readonly text: string
}

/** Claims of one worker share their capabilities, mostly as the same object. */
const signatures = new WeakMap<Capabilities, ClaimSignature>()

export const claimSignature = (capabilities: Capabilities): ClaimSignature => {
  const known = signatures.get(capabilities)
  if (known !== undefined) return known
  const { machine, text } = signatureOf(capabilities)
  const made = { id: hashOf(text), machine: writtenMachine(machine), text }
  signatures.set(capabilities, made)
  return made
}

const decodeCapabilities = Schema.decodeUnknownOption(Schema.fromJsonString(Capabilities))

/** The capabilities of a stored signature; none when it was not written by us, and then no class matches it. */
const parseSignature = (text: string, machine: string): Option.Option<Capabilities> =>
  Option.map(decodeCapabilities(text), (capabilities) => onMachine(capabilities, readMachine(machine)))

type Facts = readonly [service_required: string, requirements: string, customer: string, workflow: string]

/** The facts of a stored class; none when it was not written by us, and then it matches nobody. */
const parseFacts = ([service_required, requirements, customer, workflow]: Facts) =>
  Option.liftThrowable(factsOf)({
    service_required,
    requirements,
    customer_id: customer || null,
    workflow_id: workflow || null
  })

const decodeUnsettled = Schema.decodeUnknownOption(
  Schema.Tuple([Schema.Literal("unsettled"), Schema.Array(Schema.String), Schema.Unknown])
)
/** Most replies are none, and finding that out by a schema costs more than the call. */
const saysUnsettled = (reply: unknown): boolean => Array.isArray(reply) && reply[0] === "unsettled"

export const make = (functions: FunctionCalls, queue: string) => {
  /** Some calls put jobs into classes that wait to be settled: they are, before the call is answered. */
  const over = (made: FunctionCalls): FunctionCalls => ({
    call: (name, to, args) =>
      Effect.flatMap(made.call(name, to, args), (reply) => {
        const unsettled = saysUnsettled(reply) ? decodeUnsettled(reply) : Option.none()
        if (Option.isNone(unsettled)) return Effect.succeed(reply)
        const [, names, answer] = unsettled.value
        // What fails here is done by the next tick.
        return Effect.as(Effect.ignore(settle(names)), answer)
      })
  })
  const calls = over(functions)

  const createSignature = SettleCommands.createSignature(calls, queue)
  const signatureStep = SettleCommands.signatureStep(calls, queue)
  const signatureOutcome = SettleCommands.signatureOutcome(calls, queue)
  const signaturesAfter = SettleCommands.signaturesAfter(calls, queue)
  const classStep = SettleCommands.classStep(calls, queue)
  const classOutcome = SettleCommands.classOutcome(calls, queue)
  const audienceStep = SettleCommands.audienceStep(calls, queue)

  /** Signatures by rising number, all there are up to `known`; a number is never used for another one. */
  let byNumber = new Map<number, Capabilities>()
  let known = 0
  const oneAtATime = Semaphore.makeUnsafe(1)

  const learn = Effect.fnUntraced(function* (number: number) {
    if (byNumber.size > remembered) {
      byNumber = new Map()
      known = 0
    }
    while (known < number) {
      const [upto, , found] = yield* signaturesAfter(known)
      for (const [signature, text, machine] of found) {
        const capabilities = parseSignature(text, machine)
        if (Option.isSome(capabilities)) byNumber.set(signature, capabilities.value)
        else yield* Effect.logWarning(`signature ${signature} in Redis is unreadable; no job will match it`)
      }
      // Redis that has lost its data meanwhile knows of none that is younger.
      if (upto <= known) break
      known = upto
    }
    return byNumber
  })

  /** All signatures up to this one, and maybe more. */
  const learnUpTo = (number: number) => oneAtATime.withPermits(1)(learn(number))

  const capabilitiesOf = Effect.fnUntraced(function* (signature: string) {
    const number = Number(signature)
    const remembered = byNumber.get(number)
    if (remembered !== undefined) return remembered
    const [, , found] = yield* signaturesAfter(number - 1)
    const stored = found.find(([of]) => of === number)
    return stored === undefined ? undefined : Option.getOrUndefined(parseSignature(stored[1], stored[2]))
  })

  /** Compares a class with the signatures that are older than it. */
  const settleClass: (id: string) => Effect.Effect<void, RedisFailure> = Effect.fnUntraced(function* (id) {
    for (;;) {
      const step = yield* classStep(id)
      if (step[0] !== "compare") return
      const [, from, upto, ...stored] = step
      const learned = yield* learnUpTo(upto)
      const facts = Option.getOrUndefined(parseFacts(stored))
      const machines = facts === undefined ? [] : machinesNamed(parseRequirements(stored[1])).map(writtenMachine)
      const matching: Array<number> = []
      for (const [number, capabilities] of learned) {
        const isOlder = number > from && number <= upto
        if (isOlder && facts !== undefined && matches(facts, capabilities)) matching.push(number)
      }
      const told = Array.chunksOf(matching, perOutcome)
      let at = from
      for (const [index, chunk] of (told.length === 0 ? [[]] : told).entries()) {
        const end = index >= told.length - 1 ? upto : (chunk.at(-1) ?? upto)
        yield* classOutcome({ id, from: at, upto: end, machines, signatures: chunk })
        at = end
      }
    }
  })

  /** Compares a signature with the classes that are older than it, after their jobs were filed by what it names. */
  const settleSignature = Effect.fnUntraced(function* (signature: string) {
    for (;;) {
      const step = yield* signatureStep(signature)
      if (step[0] === "again") continue
      if (step[0] !== "compare") return
      const capabilities = yield* capabilitiesOf(signature)
      const [, from, upto, ...compared] = step
      const matching = compared.flatMap(([id, ...stored]) => {
        const facts = Option.getOrUndefined(parseFacts(stored))
        return capabilities !== undefined && facts !== undefined && matches(facts, capabilities) ? [id] : []
      })
      let at = from
      for (const classes of Array.chunksOf(matching, classesPerOutcome)) {
        const end = classes.at(-1) ?? upto
        yield* signatureOutcome({ signature, from: at, upto: end, classes })
        at = end
      }
      if (at !== upto) yield* signatureOutcome({ signature, from: at, upto, classes: [] })
    }
  })

  /** Tells an audience what its signatures could not all be told at once. */
  const tellAudience = (audience: string) =>
    Effect.repeat(audienceStep(audience), { while: ([said]) => said === "again" })

  const settle = (names: ReadonlyArray<string>): Effect.Effect<void, RedisFailure> =>
    Effect.forEach(
      names,
      (name): Effect.Effect<unknown, RedisFailure> => {
        const id = name.slice(1)
        if (name.startsWith("c")) return settleClass(id)
        return name.startsWith("s") ? settleSignature(id) : tellAudience(id)
      },
      { discard: true }
    )

  return {
    calls,
    /** The same for calls that go another way. */
    over,
    /** Makes the signature `id` of these capabilities known and ready; `id` says whether its machine is part of it. */
    introduce: Effect.fnUntraced(function* (id: string, capabilities: Capabilities) {
      const { machine, text, ...plain } = claimSignature(capabilities)
      const { customers, workflows } = namesIn(capabilities)
      const names = [
        ...customers.map((customer) => `customer:${customer}`),
        ...workflows.map((workflow) => `workflow:${workflow}`)
      ]
      yield* settleSignature(yield* createSignature({ id, text, machine: id === plain.id ? "" : machine, names }))
    }),
    settleSignature,
    /** Settles what waits for it: classes ("c…"), signatures ("s…") and audiences ("a…"). */
    settle
  }
}
