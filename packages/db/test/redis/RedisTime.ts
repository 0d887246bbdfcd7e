/** The time of a queue in Redis: its server's clock. Time passes by moving every time that the queue has stored. */
import { Context, Duration, Effect, Layer, Option } from "effect"
import * as EventCursor from "@muster/core/event/EventCursor"
import { CursorLost } from "@muster/core/event/EventErrors"
import { EventLog } from "@muster/core/event/internal/EventLog"
import { JobQueue, type Placed } from "@muster/core/job/internal/JobQueue"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import { Redis } from "@muster/db/redis/Redis"
import * as RedisEventLog from "@muster/db/redis/RedisEventLog"
import { queuePrefix } from "@muster/db/redis/RedisFunctions"
import * as RedisJobQueue from "@muster/db/redis/RedisJobQueue"
import { StoreTime } from "../../../core/test/job/QueueTest.ts"

/** KEYS: the queue's prefix; ARGV: how many ms everything moves into the past; sequences are times in us. */
const moveBack = `
local prefix, ms = KEYS[1], tonumber(ARGV[1])
local function number(value) return string.format("%.0f", value) end
local function moved_sequence(sequence) return string.format("%016d", tonumber(sequence) - ms * 1000) end
local function move_scores(key)
  for _, member in ipairs(redis.call("ZRANGE", key, 0, -1)) do redis.call("ZINCRBY", key, -ms, member) end
end
local function move_sequences(key)
  for _, member in ipairs(redis.call("ZRANGE", key, 0, -1)) do redis.call("ZINCRBY", key, -ms * 1000, member) end
end
-- Members that begin with a sequence, by rank.
local function move_members(key)
  local found = redis.call("ZRANGE", key, 0, -1, "WITHSCORES")
  redis.call("DEL", key)
  for i = 1, #found, 2 do
    local member = moved_sequence(string.sub(found[i], 1, 16)) .. string.sub(found[i], 17)
    redis.call("ZADD", key, number(found[i + 1] - ms), member)
  end
end
local function move_fields(key, fields)
  for _, field in ipairs(fields) do
    local time = tonumber(redis.call("HGET", key, field) or "")
    if time and time ~= 0 then redis.call("HSET", key, field, number(time - ms)) end
  end
end
local function move_finite(key)
  local found = redis.call("ZRANGE", key, "-inf", "(+inf", "BYSCORE")
  for _, member in ipairs(found) do redis.call("ZINCRBY", key, -ms, member) end
end
local indexes = {
  "scheduled", "expiring", "leases", "finished", "archived", "class_check", "signature_use", "idle_signatures",
  "wakes", "gone"
}
for _, index in ipairs(indexes) do move_scores(prefix .. ":" .. index) end
-- The text of a job, see lua/includes/job.lua.
local timed = { [9] = true, [10] = true, [11] = true, [15] = true, [17] = true }
local function moved_job(text, named)
  local line, rest = string.match(text, "^([^\\n]*)(.*)$")
  local values = {}
  for value in string.gmatch(line .. " ", "(%S*) ") do
    local at = #values + 1
    values[at] = timed[at] and value ~= "" and number(value - ms) or value
  end
  values[14] = moved_sequence(values[14])
  for at, kind in pairs({ [6] = "customer", [7] = "workflow" }) do
    if values[at] ~= "" then named[prefix .. ":by:" .. kind .. ":" .. values[at]] = true end
  end
  local function moved(name, time) return name .. number(time - ms) end
  rest = string.gsub(rest, "(\\nexpires_at )(%d+)", moved)
  rest = string.gsub(rest, "(\\navoid )(%d+)", moved)
  return table.concat(values, " ") .. rest
end
local named, jobs = {}, {}
for _, id in ipairs(redis.call("ZRANGE", prefix .. ":jobs", 0, -1)) do jobs[id] = true end
-- A call that failed half way may leave one that only its line knows.
for _, class in ipairs(redis.call("ZRANGE", prefix .. ":class_order", 0, -1)) do
  for _, member in ipairs(redis.call("ZRANGE", prefix .. ":line:" .. class, 0, -1)) do
    jobs[string.sub(member, 17)] = true
  end
end
for id in pairs(jobs) do
  local key = prefix .. ":job:" .. id
  local text = redis.call("GET", key)
  if text then redis.call("SET", key, moved_job(text, named)) end
end
for _, index in ipairs({ "jobs", "failed" }) do move_sequences(prefix .. ":" .. index) end
for index in pairs(named) do move_sequences(index) end
for _, class in ipairs(redis.call("ZRANGE", prefix .. ":class_order", 0, -1)) do
  move_members(prefix .. ":line:" .. class)
  local rank, sequence = string.match(redis.call("HGET", prefix .. ":class:" .. class, "front") or "", "^(%S+) (%S+)$")
  if rank then
    redis.call("HSET", prefix .. ":class:" .. class, "front", number(rank - ms) .. " " .. moved_sequence(sequence))
  end
end
for _, audience in ipairs(redis.call("ZRANGE", prefix .. ":audience_order", 0, -1)) do
  move_members(prefix .. ":fronts:" .. audience)
  move_finite(prefix .. ":match:" .. audience)
end
for _, signature in ipairs(redis.call("ZRANGE", prefix .. ":signature_use", 0, -1)) do
  move_members(prefix .. ":heads:" .. signature)
  move_scores(prefix .. ":idle:" .. signature)
end
move_fields(prefix .. ":meta", { "last_tick", "reap_from" })
local last = tonumber(redis.call("HGET", prefix .. ":meta", "sequence") or "")
if last then redis.call("HSET", prefix .. ":meta", "sequence", number(last - ms * 1000)) end

-- The log: its entries are numbered by time. What they tell stays as it was told.
local function moved_entry(id)
  local time, rest = string.match(id, "^(%d+)(.*)$")
  return time == "0" and id or number(time - ms) .. rest
end
local log = redis.call("XRANGE", prefix .. ":log", "-", "+")
redis.call("DEL", prefix .. ":log")
for _, entry in ipairs(log) do
  redis.call("XADD", prefix .. ":log", moved_entry(entry[1]), entry[2][1], entry[2][2])
end
local trimmed = redis.call("HGET", prefix .. ":meta", "trimmed")
if trimmed then redis.call("HSET", prefix .. ":meta", "trimmed", moved_entry(trimmed)) end
`

/** Where things stand in lists and in the log is a time, too: what was handed out stays good when time has passed. */
const steady = (passed: () => number, queue: JobQueue["Service"], log: EventLog["Service"]) => {
  const moved = (position: string, by: number) => (position === "" ? "" : String(Number(position) + by * 1_000))
  const outer = <P extends Placed>(placed: P): P => ({ ...placed, position: moved(placed.position, passed()) })
  /** The beginning of a log that nothing was trimmed of is no time. */
  const at = (cursor: EventCursor.EventCursor, by: number) => {
    const position = EventCursor.positionOf(cursor)
    return position.ms === 0 ? cursor : EventCursor.make({ ...position, ms: position.ms + by })
  }
  const told = (cursor: EventCursor.EventCursor) => at(cursor, passed())
  const meant = (cursor: EventCursor.EventCursor) => at(cursor, -passed())
  const toldOrNull = (cursor: EventCursor.EventCursor | null) => (cursor === null ? null : told(cursor))

  return Context.make(JobQueue, {
    ...queue,
    list: ({ cursor, ...request }) =>
      (cursor === undefined || !/^1\d{15}$/.test(cursor)
        ? queue.list({ ...request, cursor })
        : queue.list({ ...request, cursor: moved(cursor, -passed()) })
      ).pipe(
        Effect.map(({ jobs, next_cursor }) => ({
          jobs: jobs.map(outer),
          next_cursor: next_cursor === null ? null : moved(next_cursor, passed())
        }))
      ),
    unarchived: (limit) => Effect.map(queue.unarchived(limit), (jobs) => jobs.map(outer)),
    revive: ({ job, position }) => queue.revive({ job, position: moved(position, -passed()) }),
    observe: (id) =>
      Effect.map(
        queue.observe(id),
        Option.map(({ job, position }) => ({ job, position: told(position) }))
      )
  }).pipe(
    Context.add(EventLog, {
      ...log,
      read: ({ after, ...request }) =>
        log.read({ ...request, after: meant(after) }).pipe(
          Effect.map(({ events, position }) => ({
            events: events.map((event) => ({ ...event, cursor: told(event.cursor) })),
            position: told(position)
          })),
          Effect.catchTag("CursorLost", ({ why }) => Effect.fail(new CursorLost({ cursor: after, why })))
        ),
      end: Effect.map(log.end, told),
      start: Effect.map(log.start, told),
      trim: (archived) => log.trim(archived === null ? null : meant(archived)),
      size: Effect.map(log.size, (size) => ({ ...size, first: toldOrNull(size.first), last: toldOrNull(size.last) }))
    })
  )
}

/** A queue and its log on Redis, and their time. */
export const over = <E, R>(
  stores: Layer.Layer<JobQueue | EventLog, E, R>
): Layer.Layer<JobQueue | EventLog | StoreTime, E, R | Redis> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const redis = yield* Redis
      const { name } = yield* QueueSettings
      let passed = 0
      const move = (milliseconds: number) =>
        Effect.map(Effect.orDie(redis.send("EVAL", [moveBack, "1", queuePrefix(name), String(milliseconds)])), () => {
          passed += milliseconds
        })
      return steady(() => passed, yield* JobQueue, yield* EventLog).pipe(
        Context.add(StoreTime, {
          now: Effect.orDie(
            Effect.map(redis.send("TIME", []), (reply) => {
              const [seconds, micros] = (reply as ReadonlyArray<string>).map(Number)
              return seconds! * 1_000 + Math.floor(micros! / 1_000)
            })
          ),
          pass: (duration) => move(Duration.toMillis(duration)),
          setBack: (duration) => move(-Duration.toMillis(duration))
        })
      )
    })
  ).pipe(Layer.provide(stores))

/** The queue and the log of the settings, and their time. */
export const layer = over(Layer.merge(RedisJobQueue.layer, RedisEventLog.layer))
