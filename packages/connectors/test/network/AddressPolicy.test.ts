import { assert, describe, it } from "@effect/vitest"
import * as AddressPolicy from "@muster/connectors/network/AddressPolicy"

const forbidden = [
  ...["0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "10.0.0.1", "10.255.255.255", "172.16.0.1"],
  ...["172.31.255.255", "192.168.0.1", "100.64.0.1", "100.127.255.255", "169.254.169.254", "168.63.129.16"],
  ...["192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7"],
  ...["224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"],
  ...["::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "100::1"],
  ...["::127.0.0.1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:0"],
  ...["0:0:0:0:0:ffff:a00:1", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"],
  ...["2001::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "3fff::1", "4000::1", "5f00::1"]
]
const open = [
  ...["1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.1", "172.15.255.255"],
  ...["172.32.0.0", "192.167.255.255", "192.169.0.0", "168.63.129.17", "169.253.255.255", "223.255.255.255"],
  ...["2606:4700:4700::1111", "2a00:1450::1", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
]
const none = ["", "localhost", "1.2.3", "1.2.3.4.5", "0x7f.1", "2130706433", "::g", "8.8.8.8/32", "[::1]"]

describe("which addresses may be connected to", () => {
  const policy = AddressPolicy.make()
  for (const address of [...forbidden, ...none]) {
    it(`not ${address || "an empty text"}`, () => assert.isFalse(policy.allows(address)))
  }
  for (const address of open) it(`${address}, rather`, () => assert.isTrue(policy.allows(address)))

  it("every address when all are allowed, and nothing that is none", () => {
    const all = AddressPolicy.make(true)
    for (const address of [...forbidden, ...open]) assert.isTrue(all.allows(address), address)
    for (const text of none) assert.isFalse(all.allows(text), text)
  })

  it("those of allowed networks, however they are spelled", () => {
    const some = AddressPolicy.make(["10.1.0.0/16", "fd00::/8", "192.168.7.7"])
    for (const address of ["10.1.2.3", "::ffff:10.1.2.3", "fd12::1", "192.168.7.7", "8.8.8.8"]) {
      assert.isTrue(some.allows(address), address)
    }
    for (const address of ["10.2.0.1", "127.0.0.1", "fe80::1", "192.168.7.8"]) {
      assert.isFalse(some.allows(address), address)
    }
  })

  it("and what a network is", () => {
    assert.deepStrictEqual(AddressPolicy.parseNetwork("10.1.0.0/16"), ["10.1.0.0", 16])
    assert.deepStrictEqual(AddressPolicy.parseNetwork("fd00::/8"), ["fd00::", 8])
    assert.deepStrictEqual(AddressPolicy.parseNetwork("10.1.2.3"), ["10.1.2.3", 32])
    assert.deepStrictEqual(AddressPolicy.parseNetwork("::1"), ["::1", 128])
    for (const text of ["", "10.0.0.0/33", "fd00::/129", "10.0.0.0/", "10.0.0.0/x", "10.0.0.0/8/8", "host", "10/8"]) {
      assert.isUndefined(AddressPolicy.parseNetwork(text), text)
    }
  })
})
