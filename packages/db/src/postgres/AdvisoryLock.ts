/**
 * The advisory locks that servers of one database use to take turns. All are held for one transaction, so none
 * outlives the server that took it.
 */

/** Keeps our keys apart from those of other applications in the same database. */
export const space = 0x4d757374

export const migrations = 1
export const activation = 2
export const staleDetection = 3
export const reactivation = 4
