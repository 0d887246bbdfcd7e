/** Names that somebody may have meant who wrote another one: those a slip or two away, or written differently. */

/** Names compared at most: a guess need not be complete, and must not cost more than the answer it stands in. */
const mostCompared = 20_000

/**
 * How many slips lead from one text to the other: a character more, less or another one, or two neighbours swapped
 * (Damerau and Levenshtein, no part edited twice). Gives up past `most` and says one more than that.
 */
export const distance = (a: string, b: string, most = Number.POSITIVE_INFINITY): number => {
  if (Math.abs(a.length - b.length) > most) return most + 1
  let before: ReadonlyArray<number> = []
  let above: ReadonlyArray<number> = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let row = 1; row <= a.length; row++) {
    const line = [row]
    for (let column = 1; column <= b.length; column++) {
      const other = a[row - 1] === b[column - 1] ? 0 : 1
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      line[column] = Math.min(
        above[column]! + 1,
        line[column - 1]! + 1,
        above[column - 1]! + other,
        swapped ? before[column - 2]! + 1 : Number.POSITIVE_INFINITY
      )
    }
    if (Math.min(...line) > most && Math.min(...above) > most) return most + 1
    before = above
    above = line
  }
  return above[b.length]!
}

/** What is left of a name when nobody looks at how it is written: `ComfyUI_Remote` and `comfyui-remote` are alike. */
const plain = (name: string): string => name.toLowerCase().replace(/[-_.:@ /]/g, "")

/** Slips that are forgiven in a name: one in a short one, and never most of it. */
const forgiven = (name: string): number => Math.max(1, Math.floor(name.length / 4))

/** From here on one name that holds another whole is a guess worth making. */
const tellingLength = 4

/** How far a name is from what was written; undefined when nobody would mistake the two. */
const farness = (written: string, name: string): number | undefined => {
  const [a, b] = [plain(written), plain(name)]
  const most = forgiven(a.length < b.length ? b : a)
  const slips = distance(a, b, most)
  if (slips <= most && slips < Math.min(a.length, b.length)) return slips
  if (a === b) return 0
  const holds = Math.min(a.length, b.length) >= tellingLength && (a.includes(b) || b.includes(a))
  // Behind all slips, and the nearer in length the better.
  return holds ? 1_000 + Math.abs(a.length - b.length) : undefined
}

/** Of the known names, what may have been meant, the likeliest first; at most three. */
export const didYouMean = (written: string, known: Iterable<string>): ReadonlyArray<string> => {
  const found: Array<readonly [name: string, farness: number]> = []
  let compared = 0
  for (const name of known) {
    if (compared++ === mostCompared) break
    if (name === written) continue
    const far = farness(written, name)
    if (far !== undefined) found.push([name, far])
  }
  return found
    .toSorted(([a, left], [b, right]) => left - right || (a < b ? -1 : 1))
    .slice(0, 3)
    .map(([name]) => name)
}

/** The likeliest guess as the end of a sentence that says what is wrong; empty when there is none. */
export const meant = (written: string, known: Iterable<string>): string => {
  const [guess] = didYouMean(written, known)
  return guess === undefined ? "" : `; did you mean ${guess}?`
}

/** How unlike two names are: from 0, the same but for how they are written, to 1, nothing in common. */
export const unlikeness = (a: string, b: string): number => {
  const [left, right] = [plain(a), plain(b)]
  const longest = Math.max(left.length, right.length)
  return longest === 0 ? 0 : distance(left, right) / longest
}
