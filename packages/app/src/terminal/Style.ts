/** Colours, for terminals that show them. */
export type Colour = "bold" | "dim" | "red" | "green" | "yellow" | "cyan"

const codes: Record<Colour, readonly [on: number, off: number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39]
}

/** Gives a text its colour; `undefined` leaves it as it is. */
export type Style = (text: string, colour: Colour | undefined) => string

export const plain: Style = (text) => text

export const coloured: Style = (text, colour) => {
  if (colour === undefined || text === "") return text
  const [on, off] = codes[colour]
  return `\u001b[${on}m${text}\u001b[${off}m`
}
