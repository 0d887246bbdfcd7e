/** What Redis says about itself: processor time, calls and their duration, memory. */
import { Redis } from "ioredis"

export interface Usage {
  /** Of the thread that runs commands, in µs. */
  readonly cpu: number
  /** Functions and scripts that were called, and the µs they took. */
  readonly calls: number
  readonly inside: number
}

const scripting = ["fcall", "fcall_ro", "evalsha", "evalsha_ro", "eval"]

export class Meter {
  readonly redis: Redis

  constructor(url: string) {
    this.redis = new Redis(url, { enableAutoPipelining: true })
  }

  /** The lines of a section as name → text. */
  async info(section: string): Promise<ReadonlyMap<string, string>> {
    const text = await this.redis.info(section)
    return new Map(
      text.split("\r\n").flatMap((line) => {
        const colon = line.indexOf(":")
        return colon < 0 ? [] : [[line.slice(0, colon), line.slice(colon + 1)] as const]
      })
    )
  }

  /** Counts since the start of the server, or since `reset` for calls. */
  async usage(): Promise<Usage> {
    const [cpu, commands] = await Promise.all([this.info("cpu"), this.info("commandstats")])
    const seconds = ["used_cpu_user_main_thread", "used_cpu_sys_main_thread"].map((name) => Number(cpu.get(name)))
    const stats = scripting.flatMap((name) => {
      const said = /calls=(\d+),usec=(\d+)/.exec(commands.get(`cmdstat_${name}`) ?? "")
      return said === null ? [] : [{ calls: Number(said[1]), usec: Number(said[2]) }]
    })
    return {
      cpu: seconds.reduce((sum, value) => sum + value, 0) * 1e6,
      calls: stats.reduce((sum, { calls }) => sum + calls, 0),
      inside: stats.reduce((sum, { usec }) => sum + usec, 0)
    }
  }

  /** What some work cost. Only one can be measured at a time. */
  async during<A>(work: () => Promise<A>): Promise<readonly [A, Usage]> {
    const before = await this.usage()
    const value = await work()
    const after = await this.usage()
    return [
      value,
      { cpu: after.cpu - before.cpu, calls: after.calls - before.calls, inside: after.inside - before.inside }
    ]
  }

  /** Forgets calls and their durations. */
  async reset(): Promise<void> {
    await this.redis.config("RESETSTAT")
  }

  /**
   * The time below which a share of the function calls since `reset` stayed, in µs. Redis keeps a histogram of every
   * command by itself, which costs nothing beside what is measured, as logging every call would.
   */
  async functionQuantile(share: 50 | 99 | 99.9): Promise<number> {
    const said = (await this.info("latencystats")).get("latency_percentiles_usec_fcall") ?? ""
    return Number(new RegExp(`p${share}=([0-9.]+)`).exec(said)?.[1] ?? Number.NaN)
  }

  /** Bytes of data: without what clients and the append-only file have buffered for now. */
  async memory(): Promise<number> {
    const memory = await this.info("memory")
    const of = (name: string) => Number(memory.get(name) ?? 0)
    return of("used_memory") - of("mem_clients_normal") - of("mem_aof_buffer")
  }

  /** Waits until no rewrite of the append-only file runs beside what is measured. */
  async settled(): Promise<void> {
    for (;;) {
      const persistence = await this.info("persistence")
      const busy = ["aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress", "loading"]
      if (busy.every((name) => persistence.get(name) !== "1")) return
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  close(): void {
    this.redis.disconnect()
  }
}
