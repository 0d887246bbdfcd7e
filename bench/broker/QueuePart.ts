/** What a producer or worker process of either side of a comparison answers. */

export interface Produce {
  readonly count: number
  /** Calls under way at once. */
  readonly inFlight: number
  /** Jobs in one call; 1: each job by a call of its own. */
  readonly batch: number
  /** Every job another priority, in place of the same for all. */
  readonly mixedPriorities: boolean
}

export interface Consume {
  /** Jobs at once, shared out among the workers. */
  readonly concurrency: number
  readonly workers: number
  /** Kinds of workers. */
  readonly signatures: number
}

export interface Span {
  /** On the clock of the machine, in ms. */
  readonly first: number
  readonly last: number
  /** Processor time of this process meanwhile, in µs. */
  readonly cpu: number
}

/** How a worker process fared; `waits` are the ms from before a job's submit to its start. */
export interface Consumed extends Span {
  readonly waits: ReadonlyArray<number>
}

export type QueuePart = {
  readonly open: (input: { readonly url: string; readonly queue: string }) => Promise<void>
  /** The queue gets to know workers of so many kinds, which stay busy elsewhere. */
  readonly introduce: (input: { readonly signatures: number }) => Promise<void>
  readonly produce: (input: Produce) => Promise<Span>
  /** Starts workers, and answers once all of them are idle or at work. */
  readonly consume: (input: Consume) => Promise<void>
  /** Answers when so many jobs have been completed since `consume`. */
  readonly finished: (input: { readonly count: number }) => Promise<Consumed>
  readonly close: (input: null) => Promise<void>
}

/** Counts what a worker process does, and lets others wait for it. */
export class Tally {
  #completed = 0
  #first = Number.NaN
  #last = Number.NaN
  #waits: Array<number> = []
  #cpu = process.cpuUsage()
  #waiting: Array<{ readonly count: number; readonly resolve: () => void }> = []

  started(submittedAt: number, at: number): void {
    if (Number.isNaN(this.#first)) {
      this.#first = at
      this.#cpu = process.cpuUsage()
    }
    this.#waits.push(at - submittedAt)
  }

  completed(at: number): void {
    this.#completed++
    this.#last = at
    if (this.#waiting.length === 0) return
    const ready = this.#waiting.filter(({ count }) => count <= this.#completed)
    this.#waiting = this.#waiting.filter(({ count }) => count > this.#completed)
    for (const { resolve } of ready) resolve()
  }

  async until(count: number): Promise<Consumed> {
    if (this.#completed < count) await new Promise<void>((resolve) => void this.#waiting.push({ count, resolve }))
    const { system, user } = process.cpuUsage(this.#cpu)
    return { first: this.#first, last: this.#last, cpu: system + user, waits: this.#waits }
  }
}
