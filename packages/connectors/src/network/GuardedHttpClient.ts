/**
 * An HTTP client for URLs that others choose. It connects to no address that its policy forbids, whatever name, redirect
 * or DNS server leads there: the addresses it has checked are the ones it connects to.
 *
 * Redirects are not followed. Each request has a connection of its own: a name is looked up and checked every time, and
 * no request meets a connection that its peer is just closing.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Effect, Option, type Scope } from "effect"
import { HttpClient, HttpClientError, type HttpClientRequest } from "effect/http"
import { type LookupAddress, lookup as systemLookup } from "node:dns"
import { isIP, type LookupFunction } from "node:net"
import type { AddressPolicy } from "./AddressPolicy.ts"

/** A URL that leads to an address which must not be connected to. */
export class AddressRefused extends Error {
  readonly code = "ERR_ADDRESS_REFUSED"

  constructor(host: string) {
    super(`${host} is, or leads to, an address that must not be reached from here`)
  }
}

/** How names become addresses; the system's own way, but in tests. */
export type Lookup = (
  host: string,
  options: { readonly all: true },
  done: (error: NodeJS.ErrnoException | null, addresses: ReadonlyArray<LookupAddress>) => void
) => void

/** One address that is forbidden is enough: a name that leads to both is not to be trusted. */
const guarded =
  (policy: AddressPolicy, lookup: Lookup): LookupFunction =>
  (host, options, done) =>
    lookup(host, { ...options, all: true }, (error, addresses) => {
      const [first] = addresses ?? []
      if (error !== null || first === undefined) return done(error ?? new Error(`${host} has no address`), [])
      if (!addresses.every(({ address }) => policy.allows(address))) return done(new AddressRefused(host), [])
      if (options.all === true) return done(null, [...addresses])
      return done(null, first.address, first.family)
    })

const hostOf = (url: string): string => {
  if (!URL.canParse(url)) return ""
  return new URL(url).hostname.replace(/^\[(.*)\]$/, "$1")
}

/** What the URL of a request says by itself: an address stands there in its plain spelling, however it was written. */
const literal = (policy: AddressPolicy, url: string): AddressRefused | undefined => {
  const host = hostOf(url)
  return isIP(host) !== 0 && !policy.allows(host) ? new AddressRefused(host) : undefined
}

export interface GuardedOptions {
  readonly policy: AddressPolicy
  readonly lookup?: Lookup | undefined
}

/**
 * Says now whether a URL leads to a forbidden address. None when it does not, or when nobody can tell: its name cannot
 * be resolved.
 */
export const check = (
  url: string,
  { lookup = systemLookup, policy }: GuardedOptions
): Effect.Effect<Option.Option<AddressRefused>> =>
  Effect.callback((resume) => {
    const host = hostOf(url)
    const refused = literal(policy, url)
    if (refused !== undefined || isIP(host) !== 0) return resume(Effect.succeed(Option.fromUndefinedOr(refused)))
    guarded(policy, lookup)(host, { all: true }, (error) =>
      resume(Effect.succeed(error instanceof AddressRefused ? Option.some(error) : Option.none()))
    )
  })

/** A client for as long as the scope. What it refuses fails as a transport error with {@link AddressRefused} as cause. */
export const make = ({
  lookup = systemLookup,
  policy
}: GuardedOptions): Effect.Effect<HttpClient.HttpClient, never, Scope.Scope> =>
  Effect.gen(function* () {
    const agent = yield* NodeHttpClient.makeAgent({ keepAlive: false, lookup: guarded(policy, lookup) })
    const client = yield* NodeHttpClient.makeNodeHttp.pipe(Effect.provideService(NodeHttpClient.HttpAgent, agent))
    return HttpClient.mapRequestEffect(client, (request: HttpClientRequest.HttpClientRequest) => {
      const cause = literal(policy, request.url)
      return cause === undefined
        ? Effect.succeed(request)
        : Effect.fail(
            new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
          )
    }).pipe(
      // Strangers need not know our traces.
      HttpClient.transformResponse(Effect.provideService(HttpClient.TracerPropagationEnabled, false))
    )
  })
