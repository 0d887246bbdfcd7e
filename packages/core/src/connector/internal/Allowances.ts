/**
 * How a shared budget goes down and up, as pure steps, for every layer of `QuotaBudget`. Nothing is limited until a provider
 * refuses a call. Then nothing is asked until it said, and afterwards seven tenths of what was asked in the minute
 * before; each minute without a refusal a tenth more may be asked, and after ten of them the limit is gone.
 *
 * `lua/includes/quota.lua` is the same for Redis, and compared with this by a property test: whole numbers only.
 */

export interface Allowances {
  /** Calls a minute; null: no limit. */
  readonly per_minute: number | null
  /** Nothing is asked before this time, in ms. */
  readonly paused_until: number
  /** When the limit was last changed, in ms. */
  readonly changed_at: number
  /** Minutes without a refusal since there is a limit. */
  readonly calm_minutes: number
  /** The minute in which calls are counted, and how many there were in it and in the one before. */
  readonly minute: number
  readonly taken: number
  readonly taken_before: number
}

const minuteMs = 60_000
/** In tenths. */
const lowerTo = 7
const risesTo = 11
const forgottenAfter = 10
/** Refusals so close to each other, in ms, are of calls that were made before the first one was heard of. */
const together = 5_000
/** Without a word of the provider: so long nothing is asked, in ms. */
const defaultPause = 5_000
/** A provider that asks for more is asked again after this, in ms. */
const longestPause = 3_600_000

export const unlimited: Allowances = {
  per_minute: null,
  paused_until: 0,
  changed_at: 0,
  calm_minutes: 0,
  minute: 0,
  taken: 0,
  taken_before: 0
}

const atMinute = (budget: Allowances, now: number): Allowances => {
  const minute = Math.floor(now / minuteMs)
  // A clock that went back counts on in the minute that was.
  if (minute <= budget.minute) return budget
  return { ...budget, minute, taken: 0, taken_before: minute === budget.minute + 1 ? budget.taken : 0 }
}

/** The budget as it is by now: limits rise with calm minutes. */
export const current = (stored: Allowances, now: number): Allowances => {
  const budget = atMinute(stored, now)
  if (budget.per_minute === null) return budget
  const calm = Math.floor((now - Math.max(budget.changed_at, budget.paused_until)) / minuteMs)
  if (calm <= 0) return budget
  const calm_minutes = budget.calm_minutes + calm
  if (calm_minutes >= forgottenAfter) return { ...budget, per_minute: null, calm_minutes: 0, changed_at: 0 }
  const changed_at = Math.max(budget.changed_at, budget.paused_until) + calm * minuteMs
  let per_minute = budget.per_minute
  for (let minute = 0; minute < calm; minute++) per_minute = Math.ceil((per_minute * risesTo) / 10)
  return { ...budget, per_minute, changed_at, calm_minutes }
}

/** How long to wait for a call, in ms; 0 when there is one. */
export const waitFor = (budget: Allowances, now: number): number => {
  if (budget.paused_until > now) return budget.paused_until - now
  if (budget.per_minute === null || budget.taken < budget.per_minute) return 0
  return (budget.minute + 1) * minuteMs - now
}

/** Takes a call; it must be there. */
export const take = (budget: Allowances): Allowances => ({ ...budget, taken: budget.taken + 1 })

/** The provider refused a call. Refusals that come together, of calls made before the first, count once. */
export const refuse = (budget: Allowances, retryAfter: number | null, now: number): Allowances => {
  const pause = Math.min(Math.max(0, Math.ceil(retryAfter ?? defaultPause)), longestPause)
  const paused_until = Math.max(budget.paused_until, now + pause)
  const isHeard = budget.per_minute !== null && budget.calm_minutes === 0 && now - budget.changed_at < together
  if (isHeard || budget.paused_until > now) return { ...budget, paused_until }
  const busiest = Math.max(budget.taken, budget.taken_before)
  const before = budget.per_minute === null ? busiest : Math.min(budget.per_minute, Math.max(busiest, 1))
  return {
    ...budget,
    per_minute: Math.max(1, Math.floor((before * lowerTo) / 10)),
    paused_until,
    changed_at: now,
    calm_minutes: 0
  }
}
