/** Tables for lists, blocks for one thing. Every text given is made fit for a terminal here, and nowhere else. */
import type { Colour, Style } from "./Style.ts"
import * as Text from "./Text.ts"

/** Where something is shown: how wide it is, and whether it has colours. */
export interface Canvas {
  /** Infinite where nothing has to be cut: in a pipe or a file. */
  readonly columns: number
  readonly style: Style
}

export interface Cell {
  readonly text: string
  readonly colour?: Colour | undefined
}

export interface Column<Row> {
  readonly title: string
  readonly cell: (row: Row) => Cell | string
  readonly align?: "right"
  /** Where the terminal is narrow, what is `flexible` is cut first, `fixed` never. */
  readonly room?: "flexible" | "fixed"
  /** What a narrow terminal takes from a text; its end, if nothing is said. */
  readonly cut?: "middle"
}

const gap = "  "
/** A cut column keeps at least this much, so that one can still tell what it was. */
const narrowest = 6

const toCell = (cell: Cell | string): Cell => {
  const { text, colour } = typeof cell === "string" ? { text: cell } : cell
  return { text: Text.visible(text), colour }
}

/** Takes columns away from the widest of those that may shrink, until all fit or nothing more can be taken. */
const shrink = (widths: Array<number>, mayShrink: (index: number) => boolean, available: number): void => {
  const total = () => widths.reduce((sum, width) => sum + width, gap.length * (widths.length - 1))
  for (let excess = total() - available; excess > 0; excess = total() - available) {
    const candidates = [...widths.keys()].filter((index) => mayShrink(index) && (widths[index] ?? 0) > narrowest)
    const sorted = candidates.map((index) => widths[index] ?? 0).toSorted((a, b) => b - a)
    const [widest, next = narrowest] = sorted
    if (widest === undefined) return
    const index = candidates.find((index) => widths[index] === widest) ?? 0
    widths[index] = Math.max(narrowest, widest - Math.max(1, Math.min(excess, widest - next)))
  }
}

/** Aligned columns under their titles. */
export const table = <Row>(columns: ReadonlyArray<Column<Row>>, rows: ReadonlyArray<Row>, canvas: Canvas): string => {
  const titles = columns.map(({ title }): Cell => ({ text: title, colour: "dim" }))
  const lines = [titles, ...rows.map((row) => columns.map(({ cell }) => toCell(cell(row))))]
  const widths = columns.map((_, index) =>
    lines.reduce((widest, cells) => Math.max(widest, Text.width(cells[index]?.text ?? "")), 0)
  )
  shrink(widths, (index) => columns[index]?.room === "flexible", canvas.columns)
  shrink(widths, (index) => columns[index]?.room !== "fixed", canvas.columns)
  return lines
    .map((cells) =>
      cells
        .map(({ text, colour }, index) => {
          const width = widths[index] ?? 0
          const shown = (columns[index]?.cut === "middle" ? Text.cutMiddle : Text.cut)(text, width)
          const padding = " ".repeat(Math.max(0, width - Text.width(shown)))
          const styled = canvas.style(shown, colour)
          if (columns[index]?.align === "right") return padding + styled
          return index === columns.length - 1 ? styled : styled + padding
        })
        .join(gap)
        .trimEnd()
    )
    .join("\n")
}

/** What a block shows: the name of a field and its value; a value of several cells takes a line for each. */
export type Entry = readonly [name: string, value: Cell | string | ReadonlyArray<string>]

/** Fields below one another, their values aligned. */
export const block = (entries: ReadonlyArray<Entry>, canvas: Canvas): string => {
  const indent = entries.reduce((widest, [name]) => Math.max(widest, Text.width(name)), 0) + gap.length
  const room = Math.max(narrowest, canvas.columns - indent)
  return entries
    .flatMap(([name, value]) => {
      const cells = typeof value === "string" || "text" in value ? [toCell(value)] : value.map(toCell)
      return cells.map(({ text, colour }, index) => {
        const title = canvas.style(Text.padEnd(index === 0 ? name : "", indent), "dim")
        return title + canvas.style(Text.cut(text, room), colour)
      })
    })
    .join("\n")
}

const barLength = 20

/** The columns that {@link progressBar} takes. */
export const progressBarWidth = barLength + " 100 %".length

/** How far something is, as a bar and a number. */
export const progressBar = (percent: number, style: Style): string => {
  const full = Math.max(0, Math.min(barLength, Math.round((percent / 100) * barLength)))
  const done = style("█".repeat(full), "cyan")
  return `${done}${style("░".repeat(barLength - full), "dim")} ${String(Math.floor(percent)).padStart(3)} %`
}
