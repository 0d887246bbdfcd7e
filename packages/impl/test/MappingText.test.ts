import { sentence } from "@muster/core/mapping/Finding"
import * as MappingText from "@muster/impl/MappingText"
import { describe, expect, it } from "@effect/vitest"

describe("the text of a mapping", () => {
  const of = (text: string) => MappingText.parse(text).findings.map(sentence)

  it.each([
    ['{\n  "workers": }', "line 2, column 14: value expected"],
    ['{\n  // mine\n  "workers": {}, "services": {} }', "line 2, column 3: JSON has no comments"],
    ['{"workers": {},}', "line 1, column 16: a name in double quotes expected; no comma stands before a closing brace"],
    ["", "line 1, column 1: value expected"],
    ['{"workers": {}, "services": {}} x', "line 1, column 33: invalid symbol"],
    ['{"workers": {"a\tb": 1}}', "line 1, column 14: invalid character"],
    ["[1, 01]", "line 1, column 6: comma expected"]
  ])("%j is no JSON, and it is said where", (text, where) => {
    expect(of(text)).toEqual([`the file is not JSON: ${where}`])
  })

  it("does not let the last of two of a name win", () => {
    const twice = of('{\n"services": {},\n"workers": {},\n"workers": {}\n}')
    expect(twice).toEqual(["workers: stands there twice, in lines 3 and 4: only the last would count"])
  })

  it("may begin with a byte order mark", () => {
    expect(of('\uFEFF{"workers": {}, "services": {}}')).toEqual([])
  })

  it("is no book", () => {
    expect(of(" ".repeat(5 * 1024 * 1024))).toEqual(["the file is larger than 4 MB"])
  })
})
