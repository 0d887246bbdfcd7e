/** What a benchmark says: figures with their units, and which of them has an aim. Machines are noisy: trust ratios. */
import { cpus, totalmem } from "node:os"

export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: "per s" | "µs" | "ms" | "s" | "rows" | "jobs" | "keys" | "calls" | "bytes" | "MiB" | "ratio"
  /** What the figure should be at most or at least. Shown, never asserted. */
  readonly aim?: { readonly atMost: number } | { readonly atLeast: number }
}

export interface Report {
  readonly bench: string
  /** What was run against what, and with which settings. */
  readonly setting: Readonly<Record<string, string | number>>
  readonly figures: ReadonlyArray<Figure>
}

const machine = () => ({
  cpu: cpus()[0]?.model ?? "unknown",
  cores: cpus().length,
  memory_gib: Math.round(totalmem() / 2 ** 30),
  node: process.versions.node
})

const meets = ({ aim, value }: Figure): boolean | undefined =>
  aim === undefined ? undefined : "atMost" in aim ? value <= aim.atMost : value >= aim.atLeast

const shown = (value: number): string =>
  value >= 1_000 ? Math.round(value).toLocaleString("en") : value.toFixed(value >= 10 ? 1 : 2)

const aimText = ({ aim }: Figure): string =>
  aim === undefined ? "" : "atMost" in aim ? `aim ≤ ${shown(aim.atMost)}` : `aim ≥ ${shown(aim.atLeast)}`

export const print = (report: Report, json: boolean): void => {
  if (json) {
    const figures = report.figures.map((figure) => ({ ...figure, meets_aim: meets(figure) }))
    process.stdout.write(`${JSON.stringify({ ...report, figures, machine: machine() }, null, 2)}\n`)
    return
  }
  const { cores, cpu, node } = machine()
  const lines = [
    `${report.bench} (${cores} × ${cpu}, Node ${node})`,
    ...Object.entries(report.setting).map(([name, value]) => `  ${name}: ${value}`),
    ...report.figures.map((figure) => {
      const verdict = meets(figure)
      const mark = verdict === undefined ? " " : verdict ? "✓" : "✗"
      return `${mark} ${figure.name.padEnd(76)} ${shown(figure.value).padStart(10)} ${figure.unit.padEnd(6)} ${aimText(figure)}`
    })
  ]
  process.stdout.write(`${lines.join("\n")}\n`)
}

/** The value below which a share of the samples lies. */
export const quantile = (samples: ReadonlyArray<number>, share: number): number => {
  const sorted = Float64Array.from(samples).toSorted()
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

export const median = (samples: ReadonlyArray<number>): number => quantile(samples, 0.5)
