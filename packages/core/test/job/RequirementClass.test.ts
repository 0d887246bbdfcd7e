/**
 * Classes and signatures stand for jobs and workers: whatever is asked of the one must be answered as by the other. The
 * random ones know few names and values, so that they meet.
 */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Option, Result, Schema } from "effect"
import { type JobFacts, matches } from "@muster/core/job/Matching"
import {
  factsOf,
  machinesNamed,
  normalRequirements,
  parseRequirements,
  requirementsText
} from "@muster/core/job/RequirementClass"
import { type LabelCondition, Requirements } from "@muster/core/job/Requirements"
import { namesIn, onMachine, signatureOf } from "@muster/core/worker/CapabilitySignature"
import { Capabilities } from "@muster/core/worker/Worker"

const few = <Item extends Schema.Constraint>(item: Item) => Schema.Array(item).check(Schema.isMaxLength(3))

/** Each key is there half of the time. */
const some = <Fields extends Record<string, Schema.Constraint>>(fields: Fields) =>
  Schema.Struct(Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, Schema.optionalKey(field)])))

const Value = Schema.Literals(["m1", "m2", "4", 4, 5, 0, true, "true", ""])
const Bound = Schema.Literals([0, 4, 5])
const Condition = Schema.Union([
  Value,
  Schema.Array(Value).check(Schema.isMinLength(1), Schema.isMaxLength(3)),
  Schema.Struct({ not: Value }),
  some({ gte: Bound, gt: Bound, lte: Bound, lt: Bound })
])
const labelled = <S extends Schema.Constraint>(value: S) => some({ a: value, constructor: value, machine_id: value })

const Amount = Schema.Literals([0, 1, 7.5, 8])
const Hardware = some({ gpu_count: Schema.Literals([0, 1, 8]), gpu_memory_gb: Amount, ram_gb: Amount })
const Memory = Schema.Struct({ ram_gb: Amount })
const Name = Schema.Literals(["c1", "c2", "constructor"])
const Models = few(Schema.Literals(["flux", "sdxl", "wan"]))
const Isolation = Schema.Literals(["strict", "loose", "none"])
const Isolated = Schema.Struct({ isolation: Isolation })
const Label = Schema.Union([Value, few(Value)])
const one = <S extends Schema.Constraint>(value: S) =>
  Schema.Union([Schema.Struct({ a: value }), Schema.Struct({ machine_id: value })])

const Machine = Schema.Literals(["m1", "m2", ""])
const OnMachine = Schema.Struct({
  machine_id: Schema.Union([Machine, Schema.Struct({ not: Machine }), Schema.Tuple([Machine, Machine])])
})

const Needs = some({
  hardware: Hardware,
  models: Models,
  labels: labelled(Condition),
  exclude: labelled(Condition),
  customer_isolation: Isolation
})
const Offer = some({
  hardware: Hardware,
  models: Models,
  labels: labelled(Label),
  customers: some({ isolation: Isolation, allow: few(Name), deny: few(Name) }),
  workflow_id: Name
})

/** Few jobs that ask for much ever match, so most pairs of a job and a worker are about one clause. */
const Pair = Schema.Union([
  Schema.Struct({ needs: Needs, offer: Offer }),
  Schema.Struct({ needs: Schema.Struct({ hardware: Memory }), offer: Schema.Struct({ hardware: Memory }) }),
  Schema.Struct({ needs: Schema.Struct({ models: Models }), offer: Schema.Struct({ models: Models }) }),
  Schema.Struct({ needs: Schema.Struct({ labels: one(Condition) }), offer: Schema.Struct({ labels: one(Label) }) }),
  Schema.Struct({ needs: Schema.Struct({ exclude: one(Condition) }), offer: Schema.Struct({ labels: one(Label) }) }),
  Schema.Struct({
    needs: Schema.Union([Schema.Struct({ labels: OnMachine }), Schema.Struct({ exclude: OnMachine })]),
    offer: Schema.Struct({ labels: Schema.Struct({ machine_id: Machine }) })
  }),
  Schema.Struct({
    needs: Schema.Struct({ customer_isolation: Isolation }),
    offer: Schema.Struct({ customers: Isolated })
  }),
  Schema.Struct({ needs: Schema.Struct({}), offer: Schema.Struct({ customers: Schema.Struct({ allow: few(Name) }) }) }),
  Schema.Struct({ needs: Schema.Struct({}), offer: Schema.Struct({ customers: Schema.Struct({ deny: few(Name) }) }) }),
  Schema.Struct({ needs: Schema.Struct({}), offer: Schema.Struct({ workflow_id: Name }) })
])

const decodeNeeds = Schema.decodeUnknownOption(Requirements, { onExcessProperty: "error" })
const decodeOffer = Schema.decodeUnknownOption(Capabilities, { onExcessProperty: "error" })

interface Meeting {
  readonly requirements: Requirements
  readonly job: JobFacts
  readonly worker: Capabilities
}

/** A job and a worker that the edge would let in: it refuses an empty range, for one. */
const meetings: Arbitrary.Arbitrary<Meeting> = Arbitrary.all({
  pair: Arbitrary.schema(Pair),
  service_required: Arbitrary.schema(Schema.Literals(["x", "x", "y"])),
  job_types: Arbitrary.schema(few(Schema.Literals(["x", "x", "y"]))),
  customer_id: Arbitrary.schema(Schema.NullOr(Name)),
  workflow_id: Arbitrary.schema(Schema.NullOr(Name))
}).pipe(
  Arbitrary.filterMap(({ job_types, pair, ...job }) => {
    const needs = decodeNeeds(pair.needs)
    const worker = decodeOffer({ job_types: [...job_types, "x"], ...pair.offer })
    return Option.match(Option.all([needs, worker]), {
      onNone: () => Result.failVoid,
      onSome: ([requirements, worker]) => Result.succeed({ requirements, job: { ...job, requirements }, worker })
    })
  })
)

const reversed = <Item>(record: Readonly<Record<string, Item>> = {}): Record<string, Item> =>
  Object.fromEntries(Object.entries(record).toReversed())

/** The same needs in other words: in another order, repeated, and with clauses that ask for nothing. */
const rephrased = ({ exclude, hardware, labels, models = [], ...rest }: Requirements): Requirements => {
  const condition = (said: LabelCondition): LabelCondition => {
    if (typeof said !== "object") return [said, said]
    return Array.isArray(said) ? [...said.toReversed(), said[0]] : (reversed(said as {}) as LabelCondition)
  }
  const conditions = (all: Readonly<Record<string, LabelCondition>> = {}) =>
    Object.fromEntries(Object.entries(reversed(all)).map(([name, said]) => [name, condition(said)]))
  return {
    ...(rest.customer_isolation === "strict" ? rest : { customer_isolation: "none" }),
    exclude: conditions(exclude),
    labels: conditions(labels),
    models: [...models, ...models].toReversed(),
    hardware: { cpu_cores: 0, ...reversed(hardware) }
  }
}

const runs = { arbitrary: { runs: 2_000 } }

describe("the text of requirements", () => {
  it.prop(
    "is the same in whatever words",
    { meeting: meetings },
    ({ meeting: { requirements } }) => {
      assert.strictEqual(requirementsText(rephrased(requirements)), requirementsText(requirements))
      assert.deepStrictEqual(normalRequirements(normalRequirements(requirements)), normalRequirements(requirements))
    },
    runs
  )

  it.prop(
    "says them",
    { meeting: meetings },
    ({ meeting: { requirements, worker } }) => {
      const job = { service_required: "x", customer_id: null, workflow_id: null }
      const parsed = parseRequirements(requirementsText(requirements))
      assert.strictEqual(requirementsText(parsed), requirementsText(requirements))
      assert.strictEqual(matches({ ...job, requirements: parsed }, worker), matches({ ...job, requirements }, worker))
    },
    runs
  )

  it("is empty for those that ask for nothing", () => {
    for (const nothing of [
      {},
      { models: [] },
      { labels: {}, exclude: {} },
      { hardware: {} },
      { hardware: { gpu_count: 0, ram_gb: -0 } },
      { customer_isolation: "none" },
      { customer_isolation: "loose" }
    ] as const) {
      assert.strictEqual(requirementsText(nothing), "")
    }
    assert.deepStrictEqual(parseRequirements(""), {})
  })

  it("differs wherever needs do", () => {
    const different: ReadonlyArray<Requirements> = [
      {},
      { customer_isolation: "strict" },
      { models: ["a"] },
      { models: ["a", "b"] },
      { hardware: { gpu_count: 1 } },
      { hardware: { gpu_memory_gb: 1 } },
      { labels: { a: "b" } },
      { exclude: { a: "b" } },
      { labels: { a: { not: "b" } } },
      { labels: { b: "a" } },
      { labels: { a: "4" } },
      { labels: { a: 4 } },
      { labels: { a: { gte: 4 } } },
      { labels: { a: { gt: 4 } } },
      { labels: { a: ["b", "c"] } },
      { labels: { a: true } },
      { labels: { a: "true" } },
      { labels: { constructor: "b" } }
    ]
    assert.strictEqual(new Set(different.map(requirementsText)).size, different.length)
  })

  it("that is none is refused", () => {
    for (const text of ["{", "[]", "null", `{"gpu":1}`, `{"labels":{"a":null}}`]) {
      assert.throws(() => parseRequirements(text))
    }
  })
})

describe("a requirement class", () => {
  it.prop(
    "is answered as each of its jobs, by those who name no more than it does",
    { meeting: meetings },
    ({ meeting: { job, worker } }) => {
      const { customers, workflows } = namesIn(worker)
      const facts = factsOf({
        service_required: job.service_required,
        requirements: requirementsText(job.requirements),
        customer_id: job.customer_id !== null && customers.includes(job.customer_id) ? job.customer_id : null,
        workflow_id: job.workflow_id !== null && workflows.includes(job.workflow_id) ? job.workflow_id : null
      })
      assert.strictEqual(matches(facts, worker), matches(job, worker))
    },
    runs
  )
})

describe("a capability signature", () => {
  /** What a store knows of the worker: its signature, with the machine where the job names it. */
  const known = (worker: Capabilities, job: JobFacts): Capabilities => {
    const { machine, text } = signatureOf(worker)
    const decoded = Schema.decodeUnknownSync(Schema.fromJsonString(Capabilities), { onExcessProperty: "error" })(text)
    return machinesNamed(job.requirements).includes(machine) ? onMachine(decoded, machine) : decoded
  }

  it.prop(
    "answers as its workers do, whatever the job",
    { meeting: meetings },
    ({ meeting: { job, worker } }) => {
      assert.strictEqual(matches(job, known(worker, job)), matches(job, worker))
    },
    runs
  )

  it.prop(
    "is shared by equal workers in whatever order",
    { meeting: meetings },
    ({ meeting: { worker } }) => {
      const { customers = {}, job_types, labels, models = [] } = worker
      const { allow = [], deny = [] } = customers
      const again: Capabilities = {
        ...worker,
        job_types: [...job_types, ...job_types.toReversed()],
        models: [...models.toReversed(), ...models],
        labels: reversed(labels),
        customers: { ...customers, allow: allow.toReversed(), deny: [...deny, ...deny] }
      }
      assert.deepStrictEqual(signatureOf(again), signatureOf(worker))
    },
    runs
  )

  it("leaves the machine out, and nothing else", () => {
    const on = (machine_id: Exclude<Capabilities["labels"], undefined>[string]) =>
      signatureOf({ job_types: ["x"], labels: { machine_id, zone: "a" } })
    assert.strictEqual(on("m1").text, on("m2").text)
    assert.strictEqual(on("m1").machine, "m1")
    assert.notInclude(on("m1").text, "m1")
    for (const odd of ["", 7, true, ["m1"], ["m1", "m2"]]) {
      assert.strictEqual(on(odd).machine, "")
      assert.notStrictEqual(on(odd).text, on("m1").text)
    }
  })

  it("names the machines that requirements name", () => {
    assert.deepStrictEqual(
      machinesNamed({ labels: { machine_id: ["m2", "m1", "m2"], zone: "a" }, exclude: { machine_id: { not: "m3" } } }),
      ["m1", "m2", "m3"]
    )
    assert.deepStrictEqual(machinesNamed({ labels: { machine_id: { gte: 4 } }, exclude: { machine_id: 7 } }), [])
    assert.deepStrictEqual(machinesNamed({}), [])
  })
})
