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

/** As {@link visible}, keeping the line breaks. */
export const visibleLines = (text: string): string =>
  text
    .split(/\r?\n/)
    .map((line) => visible(line))
    .join("\n")

/** JSON that is the same document, and harmless on a terminal: JSON leaves DEL, C1 and the like as they are. */
export const json = (value: unknown): string =>
  JSON.stringify(value, null, 2).replace(unsafe, (character) => (character === "\n" ? character : escape(character)))

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

/** The text in at most `columns` columns; where something is missing it ends with `…`. */
export const cut = (text: string, columns: number): string => {
  if (width(text) <= columns) return text
  let kept = ""
  let left = columns - 1
  for (const { segment } of segmenter.segment(text)) {
    left -= columnsOf(segment)
    if (left < 0) break
    kept += segment
  }
  return columns < 1 ? "" : `${kept}…`
}

export const padEnd = (text: string, columns: number): string => text + " ".repeat(Math.max(0, columns - width(text)))

export const padStart = (text: string, columns: number): string => " ".repeat(Math.max(0, columns - width(text))) + text
