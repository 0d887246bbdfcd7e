/** How this process is doing: its memory, its CPU time, and whether its event loop keeps up. */
import * as MetricSources from "@muster/core/diagnosis/MetricSources"
import { Effect, Layer, Metric } from "effect"
import { monitorEventLoopDelay, performance } from "node:perf_hooks"

const gauge = (name: string, description: string) => Metric.gauge(name, { description })

const resident = gauge("muster_process_resident_memory_bytes", "Memory that this process has")
const heapUsed = gauge("muster_process_heap_used_bytes", "Memory that the objects of this process take")
const delay = gauge(
  "muster_process_event_loop_delay_p99_seconds",
  "How late the event loop was, at the 99th percentile since the last scrape"
)
const utilization = gauge(
  "muster_process_event_loop_utilization_ratio",
  "The part of the time since the last scrape in which the event loop was busy, from 0 to 1"
)
const handles = gauge("muster_process_open_handles", "Sockets, timers and the like that keep this process alive")
const started = gauge("muster_process_start_time_seconds", "When this process was started, in seconds since 1970")
const node = gauge("muster_process_node_info", "Which version of Node.js runs this process; always 1")
const cpu = Metric.counter("muster_process_cpu_seconds_total", {
  description: "CPU time that this process has used",
  incremental: true
})

/** Finer is not needed, and costs more. */
const resolution = 20

export const layer: Layer.Layer<never> = Layer.effectDiscard(
  Effect.gen(function* () {
    const delays = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const delays = monitorEventLoopDelay({ resolution })
        delays.enable()
        return delays
      }),
      (delays) => Effect.sync(() => delays.disable())
    )
    let before = performance.eventLoopUtilization()
    const update = Effect.gen(function* () {
      const { heapUsed: heap, rss } = process.memoryUsage()
      const { system, user } = process.cpuUsage()
      // Each sample is the time between two looks, which are `resolution` apart when nothing is late.
      const late = Math.max(0, delays.percentile(99) / 1e9 - resolution / 1e3)
      delays.reset()
      const now = performance.eventLoopUtilization()
      const busy = performance.eventLoopUtilization(now, before).utilization
      before = now
      yield* Metric.update(resident, rss)
      yield* Metric.update(heapUsed, heap)
      yield* Metric.update(delay, Number.isFinite(late) ? late : 0)
      yield* Metric.update(utilization, Number.isFinite(busy) ? busy : 0)
      yield* Metric.update(handles, process.getActiveResourcesInfo().length)
      yield* Metric.update(started, performance.timeOrigin / 1_000)
      yield* Metric.update(Metric.withAttributes(node, { version: process.version }), 1)
      yield* Metric.update(cpu, (user + system) / 1e6)
    })
    yield* MetricSources.contribute(MetricSources.sampled(update))
  })
)
