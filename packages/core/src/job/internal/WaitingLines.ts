/** The lines in which the jobs of the queue in memory wait: one per job type, each in the order of jobs. */
import type { Job } from "../Job.ts"

/** What waits, with its place: lower rank first, ties by sequence. */
export interface Placed {
  readonly job: Job
  readonly rank: number
  readonly sequence: number
}

const byOrder = (a: Placed, b: Placed): number => a.rank - b.rank || a.sequence - b.sequence

export const make = <Entry extends Placed>() => {
  const lines = new Map<string, Array<Entry>>()

  return {
    insert: (entry: Entry): void => {
      const { service_required } = entry.job
      const line = lines.get(service_required) ?? []
      let low = 0
      let high = line.length
      while (low < high) {
        const middle = (low + high) >>> 1
        const other = line[middle]
        if (other !== undefined && byOrder(other, entry) < 0) low = middle + 1
        else high = middle
      }
      line.splice(low, 0, entry)
      lines.set(service_required, line)
    },

    remove: (entry: Entry): void => {
      const { service_required } = entry.job
      const line = lines.get(service_required) ?? []
      const at = line.indexOf(entry)
      if (at >= 0) line.splice(at, 1)
      if (line.length === 0) lines.delete(service_required)
    },

    /** Which of the jobs of these types comes next. */
    next: (jobTypes: ReadonlyArray<string>): Entry | undefined =>
      jobTypes
        .flatMap((jobType) => lines.get(jobType)?.[0] ?? [])
        .reduce<Entry | undefined>(
          (best, next) => (best === undefined || byOrder(next, best) < 0 ? next : best),
          undefined
        )
  }
}
