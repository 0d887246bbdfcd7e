/**
 * Text from elsewhere, made fit for a terminal. What a server sends may hold anything: control characters that move
 * the cursor or rewrite what was printed, marks that turn the direction of the line, characters two columns wide.
 */

// C0, DEL and C1; the line and paragraph separators; what overrides the direction of writing; the zero-width ones
// that only hide differences (the joiners are not among them: scripts and emoji need them).
const unsafe = /[\p{Cc}\u2028\u2029\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]|\p{Cs}/gu

const short: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }

const escape = (character: string): string =>
  short[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`

/** The text in one line, with everything that a terminal would obey written as an escape: `\u001b`. */
export const visible = (text: string): string => text.replace(unsafe, escape)

/** JSON that is the same document, and harmless on a terminal: JSON leaves DEL, C1 and the like as they are. */
export const json = (value: unknown): string =>
  JSON.stringify(value, null, 2).replace(unsafe, (character) => (character === "\n" ? character : escape(character)))

/** The same in one line. */
export const jsonLine = (value: unknown): string => JSON.stringify(value).replace(unsafe, escape)

const segmenter = new Intl.Segmenter()
const printableAscii = /^[\x20-\x7e]*$/
const emoji = /\p{Emoji_Presentation}|\ufe0f/u
const invisible = /^[\p{Mark}\p{Default_Ignorable_Code_Point}]*$/u
// The blocks of East Asian wide characters, coarsely.
const wide =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]/u

const columnsOf = (grapheme: string): number => {
  if (invisible.test(grapheme)) return 0
  return emoji.test(grapheme) || wide.test(grapheme) ? 2 : 1
}

/** The columns a text without control characters takes. */
export const width = (text: string): number => {
  if (printableAscii.test(text)) return text.length
  let columns = 0
  for (const { segment } of segmenter.segment(text)) columns += columnsOf(segment)
  return columns
}

const graphemes = (text: string): ReadonlyArray<string> => Array.from(segmenter.segment(text), ({ segment }) => segment)

/** As many of the graphemes, from the first on, as fit. */
const fitting = (graphemes: ReadonlyArray<string>, columns: number): ReadonlyArray<string> => {
  let left = columns
  const end = graphemes.findIndex((grapheme) => (left -= columnsOf(grapheme)) < 0)
  return end < 0 ? graphemes : graphemes.slice(0, end)
}

/** The text in at most `columns` columns; where its end is missing, there is `…`. */
export const cut = (text: string, columns: number): string => {
  if (width(text) <= columns) return text
  return columns < 1 ? "" : `${fitting(graphemes(text), columns - 1).join("")}…`
}

/** As {@link cut}, for names whose end tells them apart: it is the middle that goes. */
export const cutMiddle = (text: string, columns: number): string => {
  if (width(text) <= columns) return text
  const all = graphemes(text)
  const end = fitting(all.toReversed(), Math.floor((columns - 1) / 2))
    .toReversed()
    .join("")
  return columns < 1 ? "" : `${fitting(all, columns - 1 - width(end)).join("")}…${end}`
}

export const padEnd = (text: string, columns: number): string => text + " ".repeat(Math.max(0, columns - width(text)))
