import { expect } from "chai";
import { Edges, never } from "../../../src/graph/edges.ts";
import { PairTable } from "../../../src/graph/pair-table.ts";
import { sweepEnd } from "../../../src/graph/segmented-table.ts";
import { UserNumbers } from "../../../src/graph/user-numbers.ts";
import { UserTable } from "../../../src/graph/user-table.ts";
import { parseUuid, readUuid } from "../../../src/graph/uuid.ts";
import { bytesOf, colliding, type idOf, seeded } from "./support.ts";

const hashes = { "random hashes": seeded(7), "hashes that are all the same": colliding };

describe("a table by pairs of users", () => {
  for (const [name, randomize] of Object.entries(hashes)) {
    it(`finds what a Map finds, with ${name}`, () => {
      const table = new PairTable(1, { randomize, segmentEntries: 16 });
      const map = new Map<string, number>();
      const random = new Int32Array(3);
      const draw = seeded(3);
      for (let n = 1; n <= 3_000; n++) {
        draw(random);
        const [first, second] = [1 + ((random[0] ?? 0) >>> 27), 1 + ((random[1] ?? 0) >>> 27)];
        if ((random[2] ?? 0) % 3 === 0) {
          table.delete(first, second);
          map.delete(`${first} ${second}`);
        } else {
          const at = table.findOrAdd(first, second);
          table.words[at] = n;
          map.set(`${first} ${second}`, n);
        }
      }
      for (let first = 1; first <= 32; first++)
        for (let second = 1; second <= 32; second++) {
          const at = table.find(first, second);
          expect(at < 0 ? undefined : table.words[at]).to.equal(map.get(`${first} ${second}`));
        }
    });

    it(`sweeps every entry once while it grows, with ${name}`, () => {
      const table = new PairTable(1, { randomize, segmentEntries: 16 });
      for (let n = 1; n <= 500; n++) table.findOrAdd(n, n);
      let added = 500;
      let from = 0;
      while (from < sweepEnd) {
        from = table.sweep(from, (words, at) => (words[at] as number) <= 500);
        for (let n = 0; n < 40; n++) table.findOrAdd(++added, 1);
      }
      for (let n = 1; n <= 500; n++) expect(table.find(n, n)).to.equal(-1);
      for (let n = 501; n <= added; n++) expect(table.find(n, 1)).to.be.at.least(0);
    });
  }
});

describe("the edges between users", () => {
  const options = { randomize: seeded(5), segmentEntries: 4_096 };

  it("take no memory after a sweep for one of each two users, nor do their ends and scopes", () => {
    const edges = new Edges(options);
    for (let user = 1; user <= 500; user++) {
      for (const [owner, target] of [
        [user, 1_000 + user],
        [1_000 + user, user],
      ] as const) {
        edges.set("block", owner, target, 5, -1);
        edges.set("mute", owner, target, never, 1);
        edges.set("follow", owner, target, never, -1);
      }
      edges.setException(4, user, 1_000 + user, true);
    }
    expect(edges.count).to.equal(3_000);
    expect(edges.between(1, 1_001)).to.not.equal(0);
    for (let from = 0; from < sweepEnd; ) from = edges.sweep(from, (user) => user % 1_000 <= 250);
    expect(edges.count).to.equal(1_500);
    expect(edges.between(1, 1_001)).to.equal(0);
    expect(edges.between(251, 1_251)).to.not.equal(0);
    for (let from = 0; from < sweepEnd; ) from = edges.sweep(from, (user) => user > 1_000);
    expect([edges.count, edges.bytes]).to.eql([0, new Edges(options).bytes]);
  });

  it("take no memory after each was removed", () => {
    const edges = new Edges(options);
    const all = Array.from({ length: 500 }, (_, n) => [1 + n * 2, 1 + ((n * 6) % 1_000)] as const);
    for (const [owner, target] of all) {
      edges.set("block", owner, target, 5, -1);
      edges.set("mute", owner, target, 5, 1);
      edges.set("mute", target, owner, never, 1);
      edges.set("mute", target, owner, never, -1);
    }
    for (const [owner, target] of all) {
      edges.delete("block", owner, target);
      edges.delete("mute", owner, target);
      edges.delete("mute", target, owner);
    }
    expect([edges.count, edges.bytes]).to.eql([0, new Edges(options).bytes]);
  });
});

describe("a table by the ids of users", () => {
  for (const [name, randomize] of Object.entries(hashes))
    it(`tells ids apart that differ in one digit, with ${name}`, () => {
      const table = new UserTable({ randomize, segmentEntries: 16 });
      const ids = Array.from({ length: 32 * 16 }, (_, n) => {
        const hex = [..."0".repeat(32)];
        hex[n >> 4] = (n & 15).toString(16);
        return new Uint8Array(Buffer.from(hex.join(""), "hex"));
      });
      const words = ids.map((bytes) => {
        const id = new Int32Array(4);
        readUuid(bytes, 0, id);
        return id;
      });
      words.forEach((id, n) => {
        if (table.find(id) < 0) table.add(id, n + 1, n);
      });
      words.forEach((id, n) => {
        const at = table.find(id);
        // All that are zero are the first one.
        expect(table.numberAt(at)).to.equal((n & 15) === 0 ? 1 : n + 1);
        expect(table.stateAt(at)).to.equal(table.numberAt(at) - 1);
      });
    });
});

describe("the words of a UUID", () => {
  const words = new Int32Array(4);
  const text = "01234567-89ab-cdef-fedc-ba9876543210";

  it("are the same from text and from bytes", () => {
    expect(parseUuid(text, words)).to.equal(true);
    expect([...words].map((word) => word >>> 0)).to.eql([0x01234567, 0x89abcdef, 0xfedcba98, 0x76543210]);
    const read = new Int32Array(4);
    readUuid(bytesOf(text as ReturnType<typeof idOf>, 5), 5, read);
    expect([...read]).to.eql([...words]);
  });

  it("are not read from anything else", () => {
    const others = [
      "",
      text.slice(1),
      `${text}0`,
      text.toUpperCase(),
      text.replaceAll("-", ""),
      ...[..."g/:@`~ -\u0130\u{ff10}"].map((character) => text.replace("9", character)),
      ...[8, 13, 18, 23].map((at) => `${text.slice(0, at)}0${text.slice(at + 1)}`),
    ];
    expect(others.filter((other) => parseUuid(other, words))).to.eql([]);
  });
});

describe("the numbers of users", () => {
  it("are given out again after a sweep that began when they were retired", () => {
    const numbers = new UserNumbers();
    const first = Array.from({ length: 3_000 }, () => numbers.next());
    expect(first).to.eql(first.map((_, n) => n + 1));
    for (const number of first) numbers.retire(number);
    expect(numbers.needsSweep).to.equal(true);
    expect(numbers.next()).to.equal(3_001);
    numbers.beginSweep();
    numbers.retire(3_001);
    expect(numbers.next()).to.equal(3_002);
    numbers.endSweep();
    expect(numbers.needsSweep).to.equal(true);
    expect(numbers.isRetired(1)).to.equal(true);
    expect(first.map(() => numbers.next())).to.eql(first);
    expect(first.filter((number) => numbers.isRetired(number))).to.eql([]);
    expect(numbers.isRetired(3_001)).to.equal(true);
    expect(numbers.next()).to.equal(3_003);
  });
});
