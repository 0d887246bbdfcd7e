/**
 * How far a prompt is over its whole graph, from events that may come twice, late, or not at all. Nodes that are done
 * or were cached count whole, a running one by its own steps; it never goes back.
 */
import type { Progress } from "@muster/core/job/Job"
import type { Message, Workflow } from "./ComfyMessages.ts"

/** The rest is for saving what was made. */
const mostWhileRunning = 95

export interface GraphProgress {
  /** Takes in an event of this prompt; gives the progress when it tells something new. */
  readonly hear: (message: Message) => Progress | undefined
  readonly cached: () => number
}

export const make = (workflow: Workflow): GraphProgress => {
  const total = Math.max(1, Object.keys(workflow).length)
  const done = new Set<string>()
  const cached = new Set<string>()
  const parts = new Map<string, number>()
  let current: string | undefined
  let steps: { readonly value: number; readonly max: number } | undefined
  let hasStates = false
  let farthest = 0
  let previews = 0

  const finish = (node: string) => {
    // Nodes that a node makes while it runs are not of the graph.
    if (workflow[node] === undefined) return
    done.add(node)
    parts.delete(node)
  }

  const begin = (node: string) => {
    if (node === current) return
    current = node
    steps = undefined
  }

  const advance = (node: string, value: number, max: number) => {
    if (max <= 0 || workflow[node] === undefined || done.has(node)) return
    parts.set(node, Math.max(parts.get(node) ?? 0, Math.min(1, value / max)))
  }

  const take = (message: Message): void => {
    if (!("data" in message)) return
    const { data, type } = message
    switch (type) {
      case "execution_cached":
        for (const node of data.nodes) {
          finish(node)
          if (workflow[node] !== undefined) cached.add(node)
        }
        return
      case "executing":
        if (data.node === null) return
        // Builds that tell no states run one node after the other.
        if (!hasStates && current !== undefined && current !== data.node) finish(current)
        return begin(data.node)
      case "progress_state":
        hasStates = true
        for (const [node, { max, state, value }] of Object.entries(data.nodes)) {
          if (state === "finished") finish(node)
          else advance(node, value, max)
        }
        return
      case "progress":
        if (data.node === null) return
        begin(data.node)
        steps = data.max > 0 ? { value: data.value, max: data.max } : undefined
        return advance(data.node, data.value, data.max)
      case "executed":
        return finish(data.node)
    }
  }

  const told = (): Progress => {
    const sum = done.size + [...parts.values()].reduce((one, other) => one + other, 0)
    farthest = Math.max(farthest, (mostWhileRunning * Math.min(sum, total)) / total)
    const name = current === undefined ? undefined : (workflow[current]?.class_type ?? `node ${current}`)
    const at = steps === undefined ? "" : ` ${steps.value}/${steps.max}`
    const seen = previews === 0 ? "" : `, preview ${previews}`
    const isWhole = steps !== undefined && Number.isSafeInteger(steps.value) && Number.isSafeInteger(steps.max)
    return {
      percent: Math.round(farthest * 100) / 100,
      message: name === undefined ? "started" : `${name.slice(0, 200)}${at}${seen}`,
      ...(isWhole && steps !== undefined ? { step: steps.value, total_steps: steps.max } : {})
    }
  }

  let last = ""
  return {
    cached: () => cached.size,
    hear: (message) => {
      if (message.type === "preview") previews++
      else take(message)
      const progress = told()
      const text = JSON.stringify(progress)
      if (text === last) return undefined
      last = text
      return progress
    }
  }
}
