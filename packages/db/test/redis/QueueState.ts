/**
 * All that a queue keeps in Redis of classes, signatures, heads and waiting jobs, read at one moment, and what of it
 * breaks the rules by which claims find jobs.
 */
import { Effect, Schema } from "effect"
import { matches, type JobFacts } from "@muster/core/job/Matching"
import { factsOf } from "@muster/core/job/RequirementClass"
import { namesIn, onMachine } from "@muster/core/worker/CapabilitySignature"
import { Capabilities } from "@muster/core/worker/Worker"
import { Redis } from "@muster/db/redis/Redis"
import { queuePrefix } from "@muster/db/redis/RedisFunctions"

/** The text of a job, see lua/includes/job.lua; a table without fields when there is none. */
const readJob = `
local statuses = {
  s = "scheduled", p = "pending", a = "assigned", r = "processing",
  c = "completed", f = "failed", x = "cancelled", e = "expired"
}
local function read_job(prefix, id)
  local text, job = redis.call("GET", prefix .. ":job:" .. id), {}
  if not text then return job end
  local line, rest = string.match(text, "^([^\\n]*)(.*)$")
  local values = {}
  for value in string.gmatch(line .. " ", "(%S*) ") do values[#values + 1] = value end
  for i, name in ipairs({
    "status", "attempt", "nonce", "worker_id", "service_required", "customer", "workflow", "class", "finished_at",
    "started_at", "assigned_at", "retry_count", "ended", "sequence", "rank", "max_retries", "created_at"
  }) do job[name] = values[i] end
  job.status = statuses[job.status]
  for name, value in string.gmatch(rest, "\\n(%S+) ([^\\n]*)") do job[name] = value end
  return job
end
`

const read = `
${readJob}
local prefix = KEYS[1]
local function fields(key, ...) return redis.call("HMGET", key, ...) end
local function entries(key) return redis.call("ZRANGE", key, 0, -1, "WITHSCORES") end
local state = { classes = {}, signatures = {}, jobs = {}, by = {} }
for _, class in ipairs(redis.call("ZRANGE", prefix .. ":class_order", 0, -1)) do
  local audience = redis.call("HGET", prefix .. ":class:" .. class, "audience") or ""
  state.classes[#state.classes + 1] = {
    class, fields(prefix .. ":class:" .. class, "service_required", "requirements", "customer", "workflow", "settled"),
    entries(prefix .. ":line:" .. class),
    audience, entries(prefix .. ":match:" .. audience), entries(prefix .. ":fronts:" .. audience)
  }
end
local ready = {}
local signatures = redis.call("HGETALL", prefix .. ":signatures")
for i = 1, #signatures, 2 do ready[(string.gsub(signatures[i + 1], "^%?", ""))] = true end
for _, signature in ipairs(redis.call("ZRANGE", prefix .. ":signature_use", 0, -1)) do
  local known = fields(prefix .. ":signature:" .. signature, "id", "text", "machine")
  state.signatures[#state.signatures + 1] = {
    signature, known[1] or "", known[2] or "", known[3] or "", ready[signature] and "1" or "0",
    entries(prefix .. ":heads:" .. signature)
  }
end
for _, id in ipairs(redis.call("ZRANGE", prefix .. ":jobs", 0, -1)) do
  local found = read_job(prefix, id)
  local job = {}
  for i, name in ipairs({
    "status", "class", "rank", "sequence", "service_required", "requirements", "customer", "workflow", "avoid"
  }) do job[i] = found[name] or "" end
  state.jobs[#state.jobs + 1] = { id, job }
  for i, kind in ipairs({ "customer", "workflow" }) do
    local name = kind .. ":" .. job[6 + i]
    if job[6 + i] ~= "" and not state.by[name] then
      state.by[name] = redis.call("ZRANGE", prefix .. ":by:" .. name, 0, -1)
    end
  end
end
return cjson.encode(state)
`

/** Lua writes an empty table as an empty object. */
const list = <S extends Schema.ConstraintDecoder<unknown>>(item: S) =>
  Schema.Union([Schema.Array(item), Schema.Struct({})])
const Entries = list(Schema.String)
const Text = Schema.String

const State = Schema.fromJsonString(
  Schema.Struct({
    classes: list(Schema.Tuple([Text, Schema.Tuple([Text, Text, Text, Text, Text]), Entries, Text, Entries, Entries])),
    signatures: list(Schema.Tuple([Text, Text, Text, Text, Text, Entries])),
    jobs: list(Schema.Tuple([Text, Schema.Array(Text)])),
    by: Schema.Record(Text, Entries)
  })
)
const decodeState = Schema.decodeUnknownEffect(State)
const decodeCapabilities = Schema.decodeUnknownSync(Schema.fromJsonString(Capabilities))

/** A member of a sorted set and its score. */
export interface Entry {
  readonly member: string
  readonly score: number
}

export interface StoredClass {
  readonly number: string
  readonly facts: JobFacts
  readonly settled: boolean
  readonly line: ReadonlyArray<Entry>
  /** Whoever matches it, with the rank of the head they hold for their audience. */
  readonly match: ReadonlyMap<string, number>
  readonly audience: string
  /** The heads of the classes of its audience. */
  readonly fronts: ReadonlyArray<Entry>
}

export interface StoredSignature {
  readonly number: string
  readonly capabilities: Capabilities
  readonly ready: boolean
  readonly heads: ReadonlyArray<Entry>
}

export interface Stored {
  readonly id: string
  readonly status: string
  readonly class: string
  readonly rank: number
  readonly sequence: string
  readonly facts: JobFacts
  /** "<until, ms> <worker>", or empty. */
  readonly avoid: string
}

export interface QueueState {
  readonly classes: ReadonlyArray<StoredClass>
  readonly signatures: ReadonlyArray<StoredSignature>
  readonly jobs: ReadonlyArray<Stored>
  /** Ids of waiting jobs by "customer:…" and "workflow:…". */
  readonly by: ReadonlyMap<string, ReadonlyArray<string>>
}

const items = <T>(found: ReadonlyArray<T> | object): ReadonlyArray<T> =>
  Array.isArray(found) ? (found as ReadonlyArray<T>) : []

const scored = (found: ReadonlyArray<string> | object): ReadonlyArray<Entry> => {
  const flat = items<string>(found)
  return flat.flatMap((member, at) =>
    at % 2 === 0 ? [{ member, score: flat[at + 1] === "inf" ? Infinity : Number(flat[at + 1]) }] : []
  )
}

const factsIn = (service_required: string, requirements: string, customer: string, workflow: string) =>
  factsOf({ service_required, requirements, customer_id: customer || null, workflow_id: workflow || null })

/** The state of a queue now. */
export const queueState = Effect.fnUntraced(function* (queue: string) {
  const redis = yield* Redis
  const stored = yield* decodeState(yield* redis.send("EVAL", [read, "1", queuePrefix(queue)]))
  const state: QueueState = {
    classes: items(stored.classes).map(
      ([number, [service, requirements, customer, workflow, settled], line, audience, match, fronts]) => ({
        number,
        facts: factsIn(service, requirements, customer, workflow),
        settled: settled === "",
        line: scored(line),
        match: new Map(scored(match).map(({ member, score }) => [member, score])),
        audience,
        fronts: scored(fronts)
      })
    ),
    // One without an id is being forgotten, step by step: nobody can claim by it any more.
    signatures: items(stored.signatures).flatMap(([number, id, text, machine, ready, heads]) =>
      id === ""
        ? []
        : [
            {
              number,
              capabilities: onMachine(decodeCapabilities(text), machine),
              ready: ready === "1",
              heads: scored(heads)
            }
          ]
    ),
    jobs: items(stored.jobs).map(([id, fields]) => {
      const [status, inClass, rank, sequence, service, requirements, customer, workflow, avoid] = fields
      return {
        id,
        status: status!,
        class: inClass!,
        rank: Number(rank),
        sequence: sequence!.padStart(16, "0"),
        facts: factsIn(service!, requirements!, customer!, workflow!),
        avoid: avoid!
      }
    }),
    by: new Map(Object.entries(stored.by).map(([name, ids]) => [name, items<string>(ids)]))
  }
  return state
})

const isBefore = (a: { readonly rank: number; readonly sequence: string }, b: typeof a): boolean =>
  a.rank < b.rank || (a.rank === b.rank && a.sequence < b.sequence)

/** Jobs in the order they are given out. */
export const byRank = (a: Stored, b: Stored): number => (isBefore(a, b) ? -1 : 1)

const headIn = ({ member, score }: Entry) => ({ of: member.slice(16), rank: score, sequence: member.slice(0, 16) })

/** What is wrong between a class and a signature. */
const wrongPair = (cls: StoredClass, signature: StoredSignature): ReadonlyArray<string> => {
  const pair = `class ${cls.number} and signature ${signature.number}`
  const held = cls.match.get(signature.number)
  if (!matches(cls.facts, signature.capabilities)) {
    return held === undefined ? [] : [`${pair} do not match, and are known as a pair`]
  }
  if (!cls.settled || !signature.ready) return []
  if (held === undefined) return [`everyMatchingJobClaimable: ${pair} match, and are not known as a pair`]
  const [first] = cls.line
  if (first === undefined) return []
  const place = headIn(first)
  const fronts = cls.fronts.map(headIn)
  const front = fronts.find(({ of }) => of === cls.number)
  const heads = signature.heads.map(headIn).filter(({ of }) => of === cls.audience)
  if (front === undefined || isBefore(place, front)) {
    return [`headIsLowerBound: class ${cls.number}: no front at or before ${place.rank} ${place.sequence}`]
  }
  const lowest = fronts.reduce((a, b) => (isBefore(b, a) ? b : a))
  return [
    ...(held <= lowest.rank ? [] : [`headIsLowerBound: ${pair}: noted ${held}, the first front has ${lowest.rank}`]),
    ...(heads.some((head) => !isBefore(lowest, head))
      ? []
      : [`headIsLowerBound: ${pair}: no head at or before ${lowest.rank} ${lowest.sequence}`])
  ]
}

/** What is wrong with where a pending job stands. */
const wrongPlace = (job: Stored, { by, classes, signatures }: QueueState): ReadonlyArray<string> => {
  const lines = classes.filter(({ line }) => line.some(({ member }) => member.slice(16) === job.id))
  const cls = lines[0]
  if (cls === undefined || lines.length > 1 || cls.number !== job.class) {
    return [`job ${job.id} of class ${job.class} stands in the lines of ${lines.map(({ number }) => number).join()}`]
  }
  const place = cls.line.find(({ member }) => member.slice(16) === job.id)
  const { customer_id, workflow_id } = job.facts
  const names = signatures.filter(({ ready }) => ready).map(({ capabilities }) => namesIn(capabilities))
  const named = {
    customer: names.some(({ customers }) => customers.some((customer) => customer === customer_id)),
    workflow: names.some(({ workflows }) => workflows.some((workflow) => workflow === workflow_id))
  }
  const indexed =
    (customer_id === null || by.get(`customer:${customer_id}`)?.includes(job.id) === true) &&
    (workflow_id === null || by.get(`workflow:${workflow_id}`)?.includes(job.id) === true)
  return [
    ...(place?.score === job.rank && place.member.startsWith(job.sequence)
      ? []
      : [`job ${job.id} stands at ${place?.score} ${place?.member}, not at ${job.rank} ${job.sequence}`]),
    ...(named.customer && cls.facts.customer_id !== customer_id
      ? [`deniedNeverClaimed: job ${job.id} of customer ${customer_id}, which is named, is in class ${cls.number}`]
      : []),
    ...(named.workflow && cls.facts.workflow_id !== workflow_id
      ? [`deniedNeverClaimed: job ${job.id} of workflow ${workflow_id}, which is named, is in class ${cls.number}`]
      : []),
    ...([null, customer_id].includes(cls.facts.customer_id) && [null, workflow_id].includes(cls.facts.workflow_id)
      ? []
      : [`job ${job.id} is in class ${cls.number} of another customer or workflow`]),
    ...(indexed ? [] : [`job ${job.id} is not found by its customer and workflow`])
  ]
}

/** Everything that is wrong; empty when nothing is. */
export const violations = (state: QueueState): ReadonlyArray<string> => {
  const { by, classes, jobs, signatures } = state
  const pending = new Map(jobs.filter(({ status }) => status === "pending").map((job) => [job.id, job]))
  return [
    ...classes.flatMap((cls) => signatures.flatMap((signature) => wrongPair(cls, signature))),
    ...[...pending.values()].flatMap((job) => wrongPlace(job, state)),
    ...classes.flatMap(({ line, number }) =>
      line.flatMap(({ member }) =>
        pending.has(member.slice(16)) ? [] : [`class ${number} has ${member} in its line, which does not wait`]
      )
    ),
    ...[...by].flatMap(([name, ids]) =>
      ids.flatMap((id) => (pending.has(id) ? [] : [`${name} finds ${id}, which does not wait`]))
    )
  ]
}

/** KEYS: the queue's prefix. Returns what is wrong between the jobs and the indexes that find them. */
const audit = `
${readJob}
local prefix, wrong = KEYS[1], {}
local function has(index, id) return redis.call("ZSCORE", prefix .. ":" .. index, id) and true or false end
local function there(kind, id) return redis.call("EXISTS", prefix .. ":" .. kind .. ":" .. id) == 1 end
local function expect(id, what, expected, actual)
  if (expected and true or false) ~= actual then
    wrong[#wrong + 1] = id .. (actual and " has no place in " or " is missing in ") .. what
  end
end
for _, id in ipairs(redis.call("ZRANGE", prefix .. ":jobs", 0, -1)) do
  local job = read_job(prefix, id)
  local status, worker, expires_at = job.status, job.worker_id, job.expires_at
  local waits, held = status == "pending" or status == "scheduled", status == "assigned" or status == "processing"
  expect(id, "scheduled", status == "scheduled", has("scheduled", id))
  expect(id, "expiring", waits and expires_at, has("expiring", id))
  expect(id, "leases", held, has("leases", id))
  expect(id, "finished and archived", false, has("finished", id) and has("archived", id))
  expect(id, "finished or archived", status and not waits and not held, has("finished", id) or has("archived", id))
  expect(id, "failed", status == "failed", has("failed", id))
  expect(id, "the requests", true, there("request", id))
  if worker and worker ~= "" then
    expect(id, "held:" .. worker, held, redis.call("HEXISTS", prefix .. ":held:" .. worker, id) == 1)
  end
end
for _, index in ipairs({ "scheduled", "expiring", "leases", "finished", "archived", "failed" }) do
  for _, id in ipairs(redis.call("ZRANGE", prefix .. ":" .. index, 0, -1)) do
    expect(id, index, has("jobs", id), true)
  end
end
for _, kind in ipairs({ "job", "request", "large", "result", "attempts", "late" }) do
  for _, key in ipairs(redis.call("KEYS", prefix .. ":" .. kind .. ":*")) do
    local id = string.sub(key, #prefix + #kind + 3)
    expect(id, "jobs, as " .. kind, true, has("jobs", id))
  end
end
return wrong
`

/** What is wrong with where jobs are kept beside their lines; empty when nothing is. */
export const misplaced = (queue: string) =>
  Effect.flatMap(Redis, (redis) =>
    Effect.map(redis.send("EVAL", [audit, "1", queuePrefix(queue)]), (wrong) => wrong as ReadonlyArray<string>)
  )
