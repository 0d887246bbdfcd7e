/** Where a simulated service listens. */
import type { Server } from "node:http"
import type { AddressInfo } from "node:net"

export interface Address {
  /** A loopback address, unless anybody may talk to it: it asks nobody who they are. */
  readonly host: string
  /** 0 takes any that is free. */
  readonly port: number
}

/** The URL at which a server is reached that listens. */
export const urlOf = (protocol: "http" | "ws", { host }: Address, server: Server): string =>
  `${protocol}://${host.includes(":") ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`
