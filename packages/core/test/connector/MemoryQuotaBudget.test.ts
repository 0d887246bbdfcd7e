import * as MemoryQuotaBudget from "@muster/core/connector/internal/MemoryQuotaBudget"
import { Layer } from "effect"
import { TestClock } from "effect/testing"
import { suite } from "./QuotaBudgetSuite.ts"

suite("in memory", Layer.provideMerge(MemoryQuotaBudget.layer, TestClock.layer()), (_, minutes) =>
  TestClock.adjust(`${minutes} minutes`)
)
