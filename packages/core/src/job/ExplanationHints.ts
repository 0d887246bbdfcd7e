/** What an explanation says in words: the verdict in one sentence, and what an operator can do about it. */
import { DateTime } from "effect"
import { takesJobs } from "../connector/ConnectorReport.ts"
import type { WorkerId } from "../worker/Worker.ts"
import type { WorkerGroup } from "../worker/WorkerGroup.ts"
import type { LaterReason, Matching, Seen, Verdict } from "./Explanation.ts"
import type { Place } from "./internal/JobQueue.ts"
import type { Job } from "./Job.ts"
import { internalUse, listed, missOf, namesNobodyHas, quoted, typesMeant } from "./Misses.ts"
import type { Judged } from "./NearMisses.ts"

export interface About {
  readonly job: Job
  readonly place: Place
  readonly judged: ReadonlyArray<Judged>
  readonly seen: ReadonlyArray<Seen>
  readonly matching: Matching
  readonly verdict: Verdict
  readonly reason: LaterReason | null
  /** Workers that match and have room. */
  readonly free: ReadonlyArray<Seen>
  /** Worker types that accept the job type by the mapping of this process: they could be started. */
  readonly startable: ReadonlyArray<string>
  readonly now: DateTime.Utc
}

/** Hints about single near misses. */
const mostMisses = 3

const ms = DateTime.toEpochMillis

/** A length of time in one unit, rounded down. */
const lengthOf = (milliseconds: number): string => {
  const seconds = Math.max(0, Math.floor(milliseconds / 1_000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`
  return seconds < 48 * 3_600 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} d`
}

/** The clocks of store and server differ: below a second is now. */
const ago = (at: DateTime.Utc, now: DateTime.Utc): string =>
  ms(now) - ms(at) < 1_000 ? "just now" : `${lengthOf(ms(now) - ms(at))} ago`

const workers = (count: number): string => `${count} ${count === 1 ? "worker" : "workers"}`

const matchesOf = (count: number): string => `${workers(count)} that ${count === 1 ? "matches" : "match"}`

const all = (count: number): string => (count === 1 ? "the only worker that matches" : `all ${matchesOf(count)}`)

/** Ends what is no sentence of its own. */
const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`)

const errorText = ({ error }: Job): string => (error === null ? "" : `${error.kind}: ${error.message}`)

const aheadText = ({ ahead, at_least }: Place): string =>
  ahead === 0
    ? "no job goes before it"
    : `${at_least ? "at least " : ""}${ahead} ${ahead === 1 ? "job goes" : "jobs go"} before it`

/** How those are that live and match, and are not free: `2 are full, 1 is paused`. */
const notFree = (matching: Matching, avoided: number): string => {
  const are = (count: number, what: string) => (count === 0 ? [] : [`${count} ${count === 1 ? "is" : "are"} ${what}`])
  const { draining, full, not_looked_at, paused, unhealthy } = matching
  return [
    ...are(full, "full"),
    ...are(not_looked_at, "not looked at, there are too many"),
    ...are(paused, "paused"),
    ...are(draining, "draining"),
    ...(unhealthy === 0 ? [] : [`${unhealthy} ${unhealthy === 1 ? "has" : "have"} an unhealthy connector`]),
    ...are(avoided, "the one it failed on, and is not given it for half a minute")
  ].join(", ")
}

const registeredOf = (judged: ReadonlyArray<Judged>): number =>
  judged.reduce((sum, { group }) => (group.status === "gone" ? sum : sum + group.workers), 0)

const laterText = ({ job, place, reason }: About): string => {
  const due = place.due_at === null ? "" : ` until ${DateTime.formatIso(place.due_at)}`
  switch (reason) {
    case "backing_off":
      return `It is backing off${due}, after attempt ${job.attempt} ended with ${errorText(job)}`
    case "stepped_aside":
      return `It is left to other workers for half a minute: it failed on ${place.avoids ?? "the one that asked"} with ${errorText(job)}`
    default:
      return `It is scheduled and waits${due}`
  }
}

/** The verdict in a sentence. */
export const summary = (about: About): string => {
  const { free, judged, matching, place, seen, verdict } = about
  switch (verdict) {
    case "next": {
      const other = free.find(({ glimpse }) => glimpse.id !== place.avoids) ?? free[0]
      return sentence(`It is about to run: worker ${other?.glimpse.id} matches and has room; ${aheadText(place)}`)
    }
    case "busy": {
      const { draining, full, not_looked_at, offline, paused, unhealthy } = matching
      const live = offline === 0 ? "" : "live "
      const rest = offline === 0 ? "" : `; ${offline} more that would match ${offline === 1 ? "is" : "are"} offline`
      const alive = free.length + full + not_looked_at + paused + draining + unhealthy
      const why = notFree(matching, free.length)
      return sentence(
        alive === 1
          ? `The only ${live}worker that matches ${why.replace(/^1 /, "")}; ${aheadText(place)}${rest}`
          : `${alive} ${live}workers match, and none is free: ${why}; ${aheadText(place)}${rest}`
      )
    }
    case "later":
      return sentence(laterText(about))
    case "offline": {
      const [first] = seen
      const lost = matching.offline + matching.gone
      const who = first === undefined ? "" : `: ${first.glimpse.id}${lost > 1 ? ` and ${lost - 1} more` : ""}`
      return sentence(`Only workers that were lost match it${who}`)
    }
    case "impossible": {
      const registered = registeredOf(judged)
      if (registered === 0) return "Nobody could run it: no worker is registered."
      return registered === 1
        ? "Nobody could run it: the only worker that is registered does not match."
        : `Nobody could run it: of ${registered} workers that are registered none matches.`
    }
  }
}

const idsOf = (seen: ReadonlyArray<Seen>): ReadonlyArray<WorkerId> => seen.map(({ glimpse }) => glimpse.id)

const standingAs = ({ seen }: About, standing: Judged["standing"]) =>
  seen.filter(({ judged }) => judged.standing === standing)

/** Where `muster workers resume` helps: what operators took out. */
const resumeHint = (about: About, standing: "paused" | "draining", onlyOnes: boolean): ReadonlyArray<string> => {
  const count = about.matching[standing]
  if (count === 0) return []
  const subject = onlyOnes ? all(count) : matchesOf(count)
  const verb = count === 1 ? "is" : "are"
  const ids = idsOf(standingAs(about, standing))
  return [`${subject} ${verb} ${standing}: muster workers resume ${ids.slice(0, 5).join(" ")}`]
}

const unhealthyHint = (about: About): ReadonlyArray<string> =>
  standingAs(about, "unhealthy")
    .slice(0, mostMisses)
    .map(({ glimpse }) => {
      const type = about.job.service_required
      const connector = glimpse.connectors.find((one) => !takesJobs(one) && one.job_types.includes(type))
      if (connector === undefined) {
        return `worker ${glimpse.id} matches, but its connector for ${quoted(type)} is unhealthy`
      }
      const why = connector.reason === null ? "" : `: ${connector.reason}`
      const since = `${DateTime.formatIso(connector.since)} (${ago(connector.since, about.now)})`
      return `connector ${connector.name} on ${glimpse.id}, which matches, is unhealthy since ${since}${why}`
    })

const busyHints = (about: About): ReadonlyArray<string> => {
  const { draining, full, not_looked_at, paused, unhealthy } = about.matching
  const open = full + not_looked_at + about.free.length
  const holds = standingAs(about, "open").reduce((sum, { holds }) => sum + (holds ?? 0), 0)
  return [
    ...(full === 0 || not_looked_at > 0
      ? []
      : [
          `${workers(full)} that could take it ${full === 1 ? "is" : "are"} full with ${holds} ${holds === 1 ? "job" : "jobs"}: ` +
            "wait, add workers, or raise their capacity"
        ]),
    ...resumeHint(about, "paused", open + draining + unhealthy === 0),
    ...resumeHint(about, "draining", open + paused + unhealthy === 0),
    ...unhealthyHint(about)
  ]
}

const lostHints = (about: About): ReadonlyArray<string> =>
  [...standingAs(about, "offline"), ...standingAs(about, "gone")].slice(0, mostMisses).map(({ glimpse, judged }) => {
    const { id, last_heartbeat_at, machine_id, status_changed_at } = glimpse
    const where = machine_id === null ? "" : ` on machine ${machine_id}`
    if (judged.standing === "gone") {
      return `worker ${id}${where} matched, and was unregistered ${ago(status_changed_at, about.now)}: start it again`
    }
    const heard =
      last_heartbeat_at === null ? "has never been heard from" : `was last seen ${ago(last_heartbeat_at, about.now)}`
    return `worker ${id}${where} matches and ${heard}: see whether its process and its machine run`
  })

/** Somebody of this group who was looked at. */
const someone = ({ seen }: About, group: WorkerGroup): string | undefined =>
  seen.find(({ judged }) => judged.group === group)?.glimpse.id

/** A name for a group in a sentence. */
const nameOf = (about: About, group: WorkerGroup): string => {
  const id = someone(about, group)
  return id === undefined ? "a worker" : `worker ${id}`
}

const accepts = (type: string) => (judged: Judged) => judged.group.capabilities.job_types.includes(type)

const registered = (judged: ReadonlyArray<Judged>): ReadonlyArray<WorkerGroup> =>
  judged.flatMap(({ group }) => (group.status === "gone" ? [] : [group]))

/** The groups of which a hint will name somebody. */
export const groupsToTell = (job: Job, judged: ReadonlyArray<Judged>): ReadonlyArray<WorkerGroup> => {
  const type = job.service_required
  const groups = registered(judged)
  if (judged.some(accepts(type)))
    return judged
      .filter(accepts(type))
      .slice(0, mostMisses)
      .map(({ group }) => group)
  const internal = internalUse(type, groups)
  return [...(internal === undefined ? [] : [internal.group]), ...typesMeant(type, groups).map(({ group }) => group)]
}

/** How to come by a worker that accepts the job type, when the mapping knows one. */
const startHint = ({ job, startable: [first, ...others] }: About): string | undefined => {
  if (first === undefined) return undefined
  const or = others.length === 0 ? "" : ` (or ${listed(others, 5)})`
  return `no worker that is registered accepts ${quoted(job.service_required)}; start one that does: CONNECTORS=${first}${or}`
}

/** Nobody who is registered accepts the job type. */
const typeHints = (about: About): ReadonlyArray<string> => {
  const type = about.job.service_required
  const groups = registered(about.judged)
  const starting = startHint(about)
  if (groups.length === 0) return [starting ?? "no worker is registered: start one, or see why none could register"]
  const further = starting === undefined ? [] : [starting]
  const internal = internalUse(type, groups)
  if (internal !== undefined) {
    const { called, group } = internal
    const types = listed(group.capabilities.job_types.map(quoted))
    return [
      `no worker accepts ${quoted(type)}: it is the name of a ${called}, not of a job type; ${nameOf(about, group)}, which has it, accepts ${types}`,
      ...further
    ]
  }
  const meant = typesMeant(type, groups)
  const [likeliest] = meant
  if (likeliest === undefined) {
    const types = [...new Set(groups.flatMap(({ capabilities }) => capabilities.job_types))].toSorted()
    const accepted =
      types.length === 0
        ? `no worker accepts ${quoted(type)}: those that are registered accept no job type at all`
        : `no worker accepts ${quoted(type)}; job types that are accepted: ${listed(types.map(quoted), 10)}`
    return [starting ?? accepted]
  }
  const also = meant.slice(1).map((one) => quoted(one.type))
  return [
    `no worker accepts ${quoted(type)}; did you mean ${quoted(likeliest.type)}, accepted by ${nameOf(about, likeliest.group)}` +
      `${also.length === 0 ? "" : `, or ${also.join(" or ")}`}?`,
    `if ${quoted(type)} is right, ${nameOf(about, likeliest.group)} may list the name of an internal service among its job types: ` +
      "correct its service mapping",
    ...further
  ]
}

/** What the nearest that accept the job type miss. */
const missHints = (about: About): ReadonlyArray<string> =>
  about.judged
    .filter(accepts(about.job.service_required))
    .filter(({ standing }) => standing === "miss")
    .slice(0, mostMisses)
    .flatMap(({ group, unmet }) => {
      const id = someone(about, group)
      if (id === undefined) return []
      const more = group.workers > 1 ? ` (as ${group.workers === 2 ? "does" : "do"} ${group.workers - 1} more)` : ""
      const lost = group.status === "gone" ? ", and is gone" : group.status === "offline" ? ", and is offline" : ""
      return [`worker ${id} ${unmet.map(missOf).join(", and ")}${lost}${more}`]
    })

const nobodyHints = (about: About): ReadonlyArray<string> => {
  const groups = registered(about.judged)
  const isAccepted = groups.some(({ capabilities }) => capabilities.job_types.includes(about.job.service_required))
  return [
    ...(isAccepted ? [] : typeHints(about)),
    ...(groups.length === 0 ? [] : namesNobodyHas(about.job, groups)),
    ...missHints(about)
  ]
}

/** From when on it is strange that a worker with room has not taken a job, in ms. */
const strangeAfter = 30_000

const nextHints = ({ free, job, now, place }: About): ReadonlyArray<string> => {
  const [first] = free
  const since = Math.max(ms(job.created_at), job.run_at === null ? 0 : ms(job.run_at))
  const waits = ms(now) - since
  return first === undefined || place.ahead > 0 || job.attempt > 0 || waits < strangeAfter
    ? []
    : [
        `worker ${first.glimpse.id} has room and has not claimed the job for ${lengthOf(waits)}: see its log, and whether it reaches the queue`
      ]
}

const verdictHints = (about: About): ReadonlyArray<string> => {
  const { matching, verdict } = about
  switch (verdict) {
    case "next":
      return nextHints(about)
    case "busy":
      return busyHints(about)
    case "offline":
      return [...lostHints(about), ...nobodyHints(about).slice(0, mostMisses)]
    case "impossible":
      return nobodyHints(about)
    case "later": {
      const served = about.judged.some(({ standing }) => standing === "open")
      if (served) return []
      const lost = matching.offline + matching.gone
      const why = [...busyHints(about), ...(lost > 0 ? lostHints(about) : []), ...(lost > 0 ? [] : nobodyHints(about))]
      return ["when its time has come, nobody could take it as things are now:", ...why]
    }
  }
}

/** What an operator can do, or has to know. */
export const hints = (about: About): ReadonlyArray<string> => {
  const { expires_at } = about.job
  return [
    ...verdictHints(about),
    ...(expires_at === null
      ? []
      : [`it expires at ${DateTime.formatIso(expires_at)} unless a worker has taken it by then`])
  ]
}

/** Who runs a job. */
export const holdOf = (
  { assigned_at, attempt, progress, started_at, status, worker_id }: Job,
  now: DateTime.Utc
): string => {
  const since = started_at ?? assigned_at
  const does = status === "processing" ? "runs it" : "was given it and has not begun"
  const how = [
    `attempt ${attempt}`,
    ...(since === null ? [] : [`since ${lengthOf(ms(now) - ms(since))}`]),
    ...(progress === null ? [] : [`${Math.floor(progress.percent)} % done`])
  ]
  return sentence(`It does not wait: worker ${worker_id} ${does} (${how.join(", ")})`)
}

/** How a job ended. */
export const endOf = (job: Job, now: DateTime.Utc): string => {
  const when = job.finished_at === null ? "" : ` ${ago(job.finished_at, now)}`
  switch (job.status) {
    case "completed":
      return sentence(`It completed${when}`)
    case "failed":
      return sentence(`It failed${when}, after attempt ${job.attempt}: ${errorText(job)}`)
    case "cancelled":
      return sentence(`It was cancelled${when}`)
    default:
      return sentence(`It expired${when}: no worker had taken it by its expires_at`)
  }
}

export const ofHeld = (job: Job, holder: { readonly status: string } | null): ReadonlyArray<string> =>
  holder === null || holder.status === "active" || holder.status === "pending"
    ? []
    : [
        `worker ${job.worker_id} is ${holder.status}: unless it goes on renewing its lease, the job waits again when that ends`
      ]

export const ofFinished = (job: Job): ReadonlyArray<string> =>
  job.status === "failed"
    ? [`what became of each attempt: muster job attempts ${job.id}`, `let it start over: muster job retry ${job.id}`]
    : []
