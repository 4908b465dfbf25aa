import { expect } from "chai";
import fc from "fast-check";
import { Roster } from "../../../src/collections/roster.ts";

describe("a roster", () => {
  it("has the members of a set, whoever comes and goes", () => {
    const steps = fc.array(fc.record({ who: fc.nat(9), comes: fc.boolean() }), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (given) => {
        const roster = new Roster<{ name: number; place: number }>();
        const members = Array.from({ length: 10 }, (_, name) => ({ name, place: -1 }));
        const expected = new Set<number>();
        for (const { who, comes } of given) {
          const member = members[who] ?? expect.fail();
          if (comes && !expected.has(who)) roster.add(member);
          else if (!comes) roster.delete(member);
          if (comes) expected.add(who);
          else expected.delete(who);
          expect(roster.size).to.equal(expected.size);
          expect(new Set([...roster].map(({ name }) => name))).to.eql(expected);
        }
      }),
    );
  });

  it("can be changed by those who go through it", () => {
    const roster = new Roster<{ place: number }>();
    for (let i = 0; i < 5; i++) roster.add({ place: -1 });
    for (const member of roster) roster.delete(member);
    expect(roster.size).to.equal(0);
  });
});
