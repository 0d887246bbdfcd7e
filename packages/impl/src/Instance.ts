/**
 * Which run of a worker's process is which. An instance names the place it runs in, its pid there, and itself: so a
 * process can tell for certain that another one in the same place has ended.
 */
import { readFileSync, readlinkSync } from "node:fs"
import { hostname } from "node:os"

const read = (look: () => string): string | undefined => {
  try {
    return look().replace(/[^A-Za-z0-9]/g, "")
  } catch {
    return undefined
  }
}

/**
 * A boot of a host and a pid namespace on it: the space in which a pid means one process. Host names are no such
 * space, because cloned machines and containers share them. Undefined where it cannot be told (not Linux).
 */
const place = ((): string | undefined => {
  const boot = read(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8"))
  const namespace = read(() => readlinkSync("/proc/self/ns/pid"))
  return boot === undefined || namespace === undefined ? undefined : `${boot}-${namespace}`
})()

const host =
  hostname()
    .replace(/[^A-Za-z0-9-]/g, "-")
    .replace(/^-+/, "")
    .slice(0, 60) || "host"

/** The id of a new instance in this process. */
export const make = (): string =>
  `${host}:${place ?? "somewhere"}:${process.pid}:${globalThis.crypto.randomUUID().slice(0, 8)}`

/** Whether an instance has certainly ended: its pid, in our own place, is free, or ours now. */
export const isGone = (instance: string): boolean => {
  const [, where, pid] = instance.split(":")
  if (place === undefined || where !== place || pid === undefined || !/^[1-9]\d*$/.test(pid)) return false
  if (Number(pid) === process.pid) return true
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH"
  }
}
