import * as JobArchiveSuite from "./JobArchiveSuite.ts"
import * as MemoryArchive from "./MemoryArchive.ts"

JobArchiveSuite.suite("memory", MemoryArchive.layer)
