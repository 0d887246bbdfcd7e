/** Networks as settings spell them, for who reads settings and must not load a server for that. */
import { parseNetwork } from "@muster/connectors/network/AddressPolicy"

/** Whether a text is a network such as `10.1.0.0/16` or `fd00::/8`, or one address. */
export const isNetwork = (text: string): boolean => parseNetwork(text) !== undefined
