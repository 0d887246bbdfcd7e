/** The peer of `claims`: a broker with one list, whose claim scans the top of it, through a window of so many jobs. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { Redis } from "ioredis"

const claimSource = readFileSync(join(import.meta.dirname, "scan.lua"), "utf8")

/** Fills the list inside Redis: how jobs come in is not what is compared. */
const fillSource = `
for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local foreign = n <= tonumber(ARGV[3])
  local pool = foreign and ("p" .. n % tonumber(ARGV[4])) or "own"
  redis.call("ZADD", KEYS[1], n, n)
  redis.call("HSET", KEYS[2] .. n, "status", "pending", "service_required", "bench", "payload", "{}",
    "labels", '{"pool":"' .. pool .. '"}')
end`

const offer = JSON.stringify({ job_types: { bench: true }, labels: { pool: "own" } })

export class ScanPeer {
  readonly #redis: Redis
  readonly #keys: ReadonlyArray<string>
  #sha = ""

  constructor(redis: Redis, name: string) {
    this.#redis = redis
    this.#keys = [`${name}:list`, `${name}:job:`, `${name}:leases`]
  }

  /** So many jobs, of which the first ones are foreign, of so many kinds. */
  async fill(jobs: number, foreign: number, pools: number): Promise<void> {
    this.#sha = String(await this.#redis.script("LOAD", claimSource))
    const [list, prefix] = this.#keys
    for (let from = 1; from <= jobs; from += 10_000) {
      const to = Math.min(jobs, from + 9_999)
      await this.#redis.eval(fillSource, 2, list!, prefix!, from, to, foreign, pools)
    }
  }

  /** Whether a job was found. */
  async claim(window: number): Promise<boolean> {
    return (await this.#redis.evalsha(this.#sha, 3, ...this.#keys, window, "scanner", offer, 30_000)) !== null
  }
}
