/**
 * The stores that the use cases stand on, as one type. Whoever runs use cases names this and leaves the ports
 * themselves to the layers that provide them.
 */
import type { EventFeed } from "./event/EventFeed.ts"
import type { EventLog } from "./event/internal/EventLog.ts"
import type { ArchiverState } from "./job/ArchiverState.ts"
import type { JobArchive } from "./job/internal/JobArchive.ts"
import type { JobQueue } from "./job/internal/JobQueue.ts"
import type { WebhookStore } from "./webhook/internal/WebhookStore.ts"
import type { WebhookTarget } from "./webhook/WebhookTarget.ts"
import type { HeartbeatStore } from "./worker/internal/HeartbeatStore.ts"
import type { WorkerOutbox } from "./worker/internal/WorkerOutbox.ts"
import type { WorkerRepository } from "./worker/internal/WorkerRepository.ts"
import type { MassLossBrake } from "./worker/MassLossBrake.ts"

export type Ports =
  | WorkerRepository
  | HeartbeatStore
  | WorkerOutbox
  | JobQueue
  | EventLog
  | EventFeed
  | JobArchive
  | ArchiverState
  | MassLossBrake
  | WebhookStore
  | WebhookTarget
