import { createContextValues, type HandlerContext } from "@connectrpc/connect";
import { expect } from "chai";
import fc from "fast-check";
import { clientAddress, peerKey } from "../../../../src/call/rate-limits/client-address.ts";
import { readConfig } from "../../../../src/config/config.ts";

function addressOf(proxies: string, peer: string | undefined, forwarded?: string): string {
  const { trustedProxies } = readConfig({ TRUSTED_PROXIES: proxies }).rates;
  return clientAddress(trustedProxies)(contextOf(peer, forwarded));
}

function contextOf(peer: string | undefined, forwarded: string | undefined): HandlerContext {
  return {
    values: createContextValues().set(peerKey, () => peer),
    requestHeader: new Headers(forwarded === undefined ? {} : { "x-forwarded-for": forwarded }),
  } as HandlerContext;
}

const ours = "10.0.0.0/8, 192.0.2.7, fd00::/8";

describe("a client's address", () => {
  const cases: [
    name: string,
    proxies: string,
    peer: string | undefined,
    forwarded: string | undefined,
    is: string,
  ][] = [
    ["is the peer's", "", "203.0.113.9", undefined, "203.0.113.9"],
    ["is the peer's, whatever it says", "", "203.0.113.9", "198.51.100.1", "203.0.113.9"],
    ["is the peer's that is no proxy of ours", ours, "203.0.113.9", "198.51.100.1", "203.0.113.9"],
    ["is what a proxy says", ours, "10.1.2.3", "198.51.100.1", "198.51.100.1"],
    ["is what a proxy of one address says", ours, "192.0.2.7", "198.51.100.1", "198.51.100.1"],
    ["is not what the client told the proxy", ours, "10.1.2.3", "1.1.1.1, 198.51.100.1", "198.51.100.1"],
    ["is before all proxies", ours, "10.1.2.3", "1.1.1.1,198.51.100.1 , 10.9.9.9,fd00::1", "198.51.100.1"],
    ["is the first hop when all are proxies", ours, "10.1.2.3", "10.4.4.4, 10.5.5.5", "10.4.4.4"],
    ["is the proxy's that says nothing", ours, "10.1.2.3", undefined, "10.1.2.3"],
    ["is the last good one", ours, "10.1.2.3", "1.1.1.1, unknown, 10.5.5.5", "10.5.5.5"],
    ["is the proxy's that says nonsense", ours, "10.1.2.3", "' or 1=1", "10.1.2.3"],
    ["has no port", ours, "10.1.2.3", "198.51.100.1:4711", "198.51.100.1"],
    ["has no brackets", ours, "10.1.2.3", "[2001:db8:1:2::3]:4711", "2001:db8:1:2"],
    ["is IPv4 in IPv6's clothes", ours, "::ffff:10.1.2.3", "::FFFF:198.51.100.1", "198.51.100.1"],
    ["is the network of IPv6", "", "2001:db8:1:2:3:4:5:6", undefined, "2001:db8:1:2"],
    ["is the network of a short IPv6", "", "2001:DB8::5:6", undefined, "2001:db8:0:0"],
    ["is the network of a shorter one", "", "::1", undefined, "0:0:0:0"],
    ["is the network of one with a tail", "", "1:2:3:4:5::", undefined, "1:2:3:4"],
    ["is the network of one with zeros", "", "2001:0db8:0001::", undefined, "2001:db8:1:0"],
    ["is the network of a translated one", "", "64:ff9b::198.51.100.1", undefined, "64:ff9b:0:0"],
    ["has no zone", "", "fe80::1%eth0", undefined, "fe80:0:0:0"],
    ["is nothing when the connection is gone", ours, undefined, "198.51.100.1", ""],
  ];
  for (const [name, proxies, peer, forwarded, is] of cases)
    it(name, () => {
      expect(addressOf(proxies, peer, forwarded)).to.equal(is);
    });

  it("warns once that the header comes from a peer that is not trusted", () => {
    const calls: [peer: string, forwarded: string | undefined, count: number][] = [
      ["10.1.2.3", "198.51.100.1", 0],
      ["203.0.113.9", undefined, 0],
      ["203.0.113.9", "198.51.100.1", 1],
      ["203.0.113.8", "198.51.100.1", 1],
    ];
    let count = 0;
    const find = clientAddress(readConfig({ TRUSTED_PROXIES: ours }).rates.trustedProxies, () => count++);
    for (const [peer, forwarded, expected] of calls) {
      find(contextOf(peer, forwarded));
      expect(count).to.equal(expected);
    }
  });

  it("is the same for all of a /64, and only for them", () => {
    const group = fc.integer({ min: 0, max: 0xffff }).map((value) => value.toString(16));
    const half = fc.tuple(group, group, group, group).map((groups) => groups.join(":"));
    fc.assert(
      fc.property(half, half, half, (network, one, other) => {
        const { hostname } = new URL(`http://[${network}:${one}]`);
        expect(addressOf("", hostname.slice(1, -1))).to.equal(addressOf("", `${network}:${other}`));
        expect(addressOf("", `${network}:${one}`)).to.equal(network);
      }),
    );
  });

  it("is found in any header without an error", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(..."0123456789abf:.,[]% x"), { maxLength: 40 }), (characters) => {
        addressOf("0.0.0.0/0, ::/0", "10.1.2.3", characters.join(""));
      }),
    );
  });
});
