import { Schedule } from "effect"

/** For what is worth repeating until a store or a server is back: soon at first, every 5 s in the end. */
export const whileAway = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("5 seconds")])
