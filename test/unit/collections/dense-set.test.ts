import { expect } from "chai";
import fc from "fast-check";
import { DenseSet } from "../../../src/collections/dense-set.ts";

describe("a dense set", () => {
  it("has the members of a set after any additions and removals", () => {
    const steps = fc.array(fc.record({ who: fc.nat(9), comes: fc.boolean() }), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (given) => {
        const set = new DenseSet<{ name: number; denseIndex: number }>();
        const members = Array.from({ length: 10 }, (_, name) => ({ name, denseIndex: -1 }));
        const expected = new Set<number>();
        for (const { who, comes } of given) {
          const member = members[who] ?? expect.fail();
          if (comes && !expected.has(who)) set.add(member);
          else if (!comes) set.delete(member);
          if (comes) expected.add(who);
          else expected.delete(who);
          expect(set.size).to.equal(expected.size);
          expect(new Set([...set].map(({ name }) => name))).to.eql(expected);
        }
      }),
    );
  });

  it("can be changed during iteration", () => {
    const set = new DenseSet<{ denseIndex: number }>();
    for (let i = 0; i < 5; i++) set.add({ denseIndex: -1 });
    for (const member of set) set.delete(member);
    expect(set.size).to.equal(0);
  });
});
