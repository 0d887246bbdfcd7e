/** One Redis and one PostgreSQL for the whole integration project; test files isolate themselves (`testServers.ts`). */
import type { TestProject } from "vitest/node"
import { postgres } from "./Postgres.ts"
import { redis } from "./Redis.ts"
import { closeServers } from "./ServerProcess.ts"

declare module "vitest" {
  interface ProvidedContext {
    readonly redisUrl: string
    readonly databaseUrl: string
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const [redisServer, postgresServer] = await Promise.all([redis(), postgres()])
  project.provide("redisUrl", redisServer.url)
  project.provide("databaseUrl", postgresServer.url)
  return closeServers
}
