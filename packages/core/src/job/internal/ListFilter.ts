/** Which jobs a list asks for, as a rule on one job: for layers that look at jobs one by one. */
import { DateTime } from "effect"
import type { Job } from "../Job.ts"
import type { ListRequest } from "./JobQueue.ts"

/** Whether a list that asks for this has the job on one of its pages. */
export const isAskedFor = (job: Job, request: ListRequest): boolean => {
  const { created_before, created_from, customer_id, service_required, status, workers, workflow_id } = request
  return (
    (status === undefined || job.status === status) &&
    (service_required === undefined || job.service_required === service_required) &&
    (customer_id === undefined || job.customer_id === customer_id) &&
    (workflow_id === undefined || job.workflow_id === workflow_id) &&
    (workers === undefined || (job.worker_id !== null && workers.includes(job.worker_id))) &&
    (created_from === undefined || DateTime.isGreaterThanOrEqualTo(job.created_at, created_from)) &&
    (created_before === undefined || DateTime.isLessThan(job.created_at, created_before))
  )
}
