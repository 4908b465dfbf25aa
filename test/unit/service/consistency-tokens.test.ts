import { expect } from "chai";
import fc from "fast-check";
import { type ConsistencyToken, includes } from "../../../src/domain/consistency.ts";
import { PrivacyError } from "../../../src/domain/errors.ts";
import { ConsistencyTokens } from "../../../src/service/consistency-tokens.ts";

const tokens = new ConsistencyTokens(Buffer.alloc(32, 7));
const server = 1_766_000_000_123_456n;
const write: ConsistencyToken = { kind: "write", server, xid: 752n, at: server + 5n };

const refused = (text: string) =>
  expect(() => tokens.read(text), text).to.throw(PrivacyError, "Invalid consistency token");

const anyXid = fc.bigInt({ min: 3n, max: 2n ** 64n - 1n });
const anyTime = fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n });

/** States with up to 100 running transactions, at distances from 1 to those of a transaction that is open for days. */
const anyState = fc
  .record({
    server: anyTime,
    next: fc.bigInt({ min: 2n ** 40n, max: 2n ** 60n }),
    distances: fc.array(fc.oneof(fc.bigInt({ min: 1n, max: 3n }), fc.bigInt({ min: 1n, max: 10_000_000n })), {
      maxLength: 100,
    }),
  })
  .map(({ server, next, distances }): ConsistencyToken => {
    let xid = next;
    const running = distances.map((distance) => {
      xid -= distance;
      return xid;
    });
    return { kind: "state", server, snapshot: { next, running: running.reverse() } };
  });

describe("consistency tokens", () => {
  it("come back as the write they were made of", () => {
    fc.assert(
      fc.property(anyTime, anyXid, anyTime, (server, xid, at) => {
        const token: ConsistencyToken = { kind: "write", server, xid, at };
        expect(tokens.read(tokens.write(token))).to.eql(token);
      }),
    );
  });

  it("come back as a state that includes the one they were made of, and leaves out its oldest transactions", () => {
    fc.assert(
      fc.property(anyState, (token) => {
        const read = tokens.read(tokens.write(token));
        if (read.kind !== "state" || token.kind !== "state") throw new Error("a state becomes another kind");
        expect(includes(read, token)).to.equal(true);
        const { running } = read.snapshot;
        expect(running).to.eql(token.snapshot.running.slice(0, running.length));
        const isCut = running.length < token.snapshot.running.length;
        if (isCut) expect(running.length).to.be.at.least(7);
        else expect(read).to.eql(token);
      }),
    );
  });

  it("are all of one length, never the same, and show nothing of what they name", () => {
    const running = Array.from({ length: 90 }, (_, n) => 600n + BigInt(n));
    const texts = [
      tokens.write({ ...write }),
      tokens.write({ ...write }),
      tokens.write({ kind: "state", server, snapshot: { next: 752n, running: [] } }),
      tokens.write({ kind: "state", server, snapshot: { next: 752n, running } }),
    ];
    expect(new Set(texts).size).to.equal(texts.length);
    for (const text of texts) expect(text).to.match(/^[\w-]{102}$/);
  });

  it("are made once for each object", () => {
    expect(tokens.write(write)).to.equal(tokens.write(write));
    const others = Array.from({ length: 100 }, () => tokens.write({ ...write }));
    expect(new Set(others).size).to.equal(100);
  });

  it("are refused with another key", () => {
    refused(new ConsistencyTokens(Buffer.alloc(32, 8)).write(write));
  });

  it("are refused when any character is changed, added or taken away", () => {
    const token = tokens.write(write);
    for (let i = 0; i < token.length; i++)
      refused(token.slice(0, i) + (token[i] === "A" ? "B" : "A") + token.slice(i + 1));
    for (const text of [
      `${token}A`,
      `${token}=`,
      ` ${token}`,
      token.slice(1),
      token.slice(0, -1),
      "AAAA",
      "%",
      "ü",
      "A".repeat(4_096),
      "",
    ])
      refused(text);
  });
});
