/**
 * Which addresses may be connected to when others choose the URL: public ones, unless more is allowed. Who may name a
 * URL must not be able to reach what only this host can reach: its own services, its network, its cloud's metadata.
 */
import { BlockList, isIP } from "node:net"

/** What is allowed on top of public addresses: nothing, everything, or networks such as `10.1.0.0/16`. */
export type AlsoAllowed = boolean | ReadonlyArray<string>

export interface AddressPolicy {
  /** Of an IP address in any of its spellings; false for what is none. */
  readonly allows: (address: string) => boolean
}

type Network = readonly [address: string, prefix: number]

/** Not for everybody to reach. Source: IANA's special-purpose registry for IPv4. */
const notPublic: ReadonlyArray<Network> = [
  // This host, and "no address".
  ["0.0.0.0", 8],
  ["127.0.0.0", 8],
  // Private networks, and those of carriers.
  ["10.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["100.64.0.0", 10],
  // Link-local: the metadata of most clouds. Azure has an address of its own for that.
  ["169.254.0.0", 16],
  ["168.63.129.16", 32],
  // Protocol assignments, relays, benchmarks, documentation.
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  // Multicast, reserved, broadcast.
  ["224.0.0.0", 4],
  ["240.0.0.0", 4]
]

/** Where IPv6 carries IPv4: mapped addresses, and NAT64. The IPv4 address is in the last 32 bits. */
const carriers = ["::ffff:", "64:ff9b::"] as const
const carrierPrefix = 96

/** Of IPv6 only what is assigned to the public is; the rest, unique local and link-local with it, is not. */
const publicV6: ReadonlyArray<Network> = [
  ["2000::", 3],
  ...carriers.map((carrier): Network => [`${carrier}0.0.0.0`, carrierPrefix])
]

const notPublicV6: ReadonlyArray<Network> = [
  // Protocol assignments with Teredo, documentation, 6to4.
  ["2001::", 23],
  ["2001:db8::", 32],
  ["3fff::", 20],
  ["2002::", 16],
  ...carriers.flatMap((carrier) =>
    notPublic.map(([address, prefix]): Network => [`${carrier}${address}`, carrierPrefix + prefix])
  )
]

const familyOf = (address: string): "ipv4" | "ipv6" => (isIP(address) === 4 ? "ipv4" : "ipv6")

const listOf = (networks: ReadonlyArray<Network>): BlockList => {
  const list = new BlockList()
  for (const [address, prefix] of networks) list.addSubnet(address, prefix, familyOf(address))
  return list
}

const v4 = listOf(notPublic)
const v6 = listOf(notPublicV6)
const assigned = listOf(publicV6)

const isPublic = (address: string): boolean =>
  isIP(address) === 4 ? !v4.check(address, "ipv4") : assigned.check(address, "ipv6") && !v6.check(address, "ipv6")

/** A network as `10.1.0.0/16` or one address; undefined when the text is none. */
export const parseNetwork = (text: string): Network | undefined => {
  const [address = "", bits] = text.split("/", 2)
  const longest = { 4: 32, 6: 128 }[isIP(address)]
  if (longest === undefined || address.includes("%")) return undefined
  if (bits === undefined) return text.includes("/") ? undefined : [address, longest]
  return /^\d{1,3}$/.test(bits) && Number(bits) <= longest && text === `${address}/${bits}`
    ? [address, Number(bits)]
    : undefined
}

/** Networks that cannot be read allow nothing: whoever reads a configuration checks them first. */
export const make = (also: AlsoAllowed = false): AddressPolicy => {
  if (also === true) return { allows: (address) => isIP(address) !== 0 }
  const allowed = listOf((also === false ? [] : also).map(parseNetwork).filter((network) => network !== undefined))
  return {
    allows: (text) => {
      // The zone of a link-local address, which no list knows.
      const address = text.replace(/%.*$/, "")
      return isIP(address) !== 0 && (isPublic(address) || allowed.check(address, familyOf(address)))
    }
  }
}
