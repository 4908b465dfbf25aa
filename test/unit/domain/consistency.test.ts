import { expect } from "chai";
import fc from "fast-check";
import { type DatabaseState, includes, type Snapshot, union } from "../../../src/domain/consistency.ts";

const server = 1_700_000_000_000_000n;
const state = (snapshot: Snapshot): DatabaseState => ({ kind: "state", server, snapshot });
const write = (xid: bigint) => ({ kind: "write", server, xid, at: 1n }) as const;

/** Snapshots of few transactions, so that they often agree. */
const snapshots = fc
  .tuple(fc.integer({ min: 100, max: 110 }), fc.subarray(Array.from({ length: 12 }, (_, n) => 99 + n)))
  .map(
    ([next, running]): Snapshot => ({
      next: BigInt(next),
      running: running.filter((xid) => xid < next).map(BigInt),
    }),
  );

/** The transactions that a state includes, of all that the snapshots above can name. */
const ended = (of: DatabaseState) =>
  Array.from({ length: 20 }, (_, n) => 95n + BigInt(n)).filter((xid) => includes(of, write(xid)));

describe("what a state of the database includes", () => {
  it("is every transaction below the next one that was not running", () => {
    const one = state({ next: 105n, running: [101n, 103n] });
    expect([100n, 101n, 102n, 103n, 104n, 105n].map((xid) => includes(one, write(xid)))).to.eql([
      true,
      false,
      true,
      false,
      true,
      false,
    ]);
  });

  it("is another state when it includes all transactions of that", () => {
    fc.assert(
      fc.property(snapshots, snapshots, (a, b) => {
        const [later, earlier] = [state(a), state(b)];
        const all = ended(later);
        expect(includes(later, earlier)).to.equal(ended(earlier).every((xid) => all.includes(xid)));
      }),
    );
  });

  it("is nothing of another server, or of another start of it", () => {
    const other = { ...state({ next: 200n, running: [] }), server: server + 1n };
    expect(includes(other, write(100n))).to.equal(false);
    expect(includes(other, state({ next: 100n, running: [] }))).to.equal(false);
  });
});

describe("the union of states", () => {
  it("includes what each of them does, and nothing else", () => {
    fc.assert(
      fc.property(fc.array(snapshots, { minLength: 1, maxLength: 4 }), (parts) => {
        const all = union(parts.map(state));
        const expected = [...new Set(parts.flatMap((part) => ended(state(part))))].sort();
        expect(all && ended(all).sort()).to.eql(expected);
        expect(all?.snapshot.running).to.eql(all?.snapshot.running.toSorted((a, b) => Number(a - b)));
      }),
    );
  });

  it("is the state itself when there is one", () => {
    const one = state({ next: 105n, running: [101n] });
    expect(union([one])).to.equal(one);
  });

  it("does not exist for no states, nor for states of two servers", () => {
    const one = state({ next: 105n, running: [] });
    expect(union([])).to.equal(undefined);
    expect(union([one, { ...one, server: server + 1n }])).to.equal(undefined);
  });
});
