/** What every problem must look like, whatever it says. */
import { assert } from "@effect/vitest"
import type { Answer } from "./TestServer.ts"

/** Asserts that `answer` is a well-formed problem of this status and code, and gives its body. */
export const expectProblem = (answer: Answer, status: number, code: string): any => {
  assert.strictEqual(answer.status, status, answer.text.slice(0, 500))
  assert.match(String(answer.headers["content-type"]), /^application\/problem\+json/)
  const problem = answer.json
  assert.strictEqual(problem.status, status)
  assert.strictEqual(problem.code, code)
  assert.strictEqual(problem.type, `urn:muster:problem:${code}`)
  assert.isString(problem.title)
  assert.isAbove(String(problem.detail).length, 0)
  return problem
}

/** The paths of an InvalidRequest, sorted. */
export const pathsOf = (problem: any): ReadonlyArray<string> =>
  problem.errors.map((error: { readonly path: string }) => error.path).toSorted()
