/**
 * What a command writes: its answer to standard output, everything about the answer to standard error. A reader that
 * has seen enough, such as `head`, ends the command quietly.
 */
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import { coloured, plain } from "./Style.ts"
import type { Canvas } from "./Table.ts"
import * as Text from "./Text.ts"

/** Nobody reads the output any more. That is for the reader to decide, so it is no failure. */
export class OutputClosed extends Schema.TaggedError<OutputClosed>("@muster/app/terminal/Output/OutputClosed")(
  "OutputClosed",
  {}
) {
  override readonly [Runtime.errorExitCode] = 0
  override readonly [Runtime.errorReported] = false
}

const canvasOf = (stream: NodeJS.WriteStream): Canvas =>
  stream.isTTY
    ? // `hasColors` heeds NO_COLOR and TERM=dumb.
      { columns: stream.columns || 80, style: stream.hasColors() ? coloured : plain }
    : { columns: Number.POSITIVE_INFINITY, style: plain }

/** Standard output as it is now: a terminal may be resized. */
export const canvas: Effect.Effect<Canvas> = Effect.sync(() => canvasOf(process.stdout))

/** Standard error as it is now. */
export const notesCanvas: Effect.Effect<Canvas> = Effect.sync(() => canvasOf(process.stderr))

const write = (stream: NodeJS.WriteStream, text: string): Effect.Effect<void, OutputClosed> =>
  Effect.callback((resume) => {
    stream.write(text, (error) => resume(error ? Effect.fail(new OutputClosed()) : Effect.void))
  })

/** Writes to standard output and waits until it is written. */
export const print = (text: string): Effect.Effect<void, OutputClosed> => write(process.stdout, `${text}\n`)

/** Writes one JSON document to standard output. */
export const printJson = (value: unknown): Effect.Effect<void, OutputClosed> => print(Text.json(value))

/** Writes a line to standard error; that nobody reads those hinders nothing. */
export const note = (text: string): Effect.Effect<void> => Effect.ignore(write(process.stderr, `${text}\n`))

/** Whether a person reads standard error. */
export const somebodyWatches = Effect.sync(() => process.stderr.isTTY)

/** As {@link note}, where a person reads it: a script needs no advice. */
export const hint = (text: string): Effect.Effect<void> => Effect.asVoid(Effect.when(note(text), somebodyWatches))

/** A line on the terminal that is written over: shown while something runs, gone when it is done. */
export const statusLine = (line: (canvas: Canvas) => string): Effect.Effect<void> =>
  notesCanvas.pipe(
    Effect.flatMap((canvas) => Effect.ignore(write(process.stderr, `\r\u001b[K${line(canvas)}`))),
    Effect.when(somebodyWatches),
    Effect.asVoid
  )

/** Without this, a failed write would end the process with a stack trace before anybody could look at it. */
export const surviveClosedPipes = Effect.sync(() => {
  process.stdout.on("error", () => {})
  process.stderr.on("error", () => {})
})
