import { expect } from "chai";
import fc from "fast-check";
import { Queue } from "../../../src/collections/queue.ts";

interface Member {
  readonly name: number;
  before: Member | undefined;
  after: Member | undefined;
}

const newMember = (name: number): Member => ({ name, before: undefined, after: undefined });

describe("a queue", () => {
  it("has the members of a set in their order, whoever comes and goes", () => {
    const steps = fc.array(fc.record({ who: fc.nat(9), comes: fc.boolean() }), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (given) => {
        const queue = new Queue<Member>();
        const members = Array.from({ length: 10 }, (_, name) => newMember(name));
        const expected = new Set<Member>();
        for (const { who, comes } of given) {
          const member = members[who] ?? expect.fail();
          if (comes && !expected.has(member)) queue.add(member);
          else if (!comes) queue.delete(member);
          if (comes) expected.add(member);
          else expected.delete(member);
          expect([queue.size, queue.first]).to.eql([expected.size, [...expected][0]]);
        }
        for (const member of expected) {
          expect(queue.first).to.equal(member);
          queue.delete(member);
        }
        expect(queue.first).to.equal(undefined);
      }),
    );
  });

  it("leaves nothing in those who are out", () => {
    const queue = new Queue<Member>();
    const members = [1, 2, 3].map(newMember);
    for (const member of members) queue.add(member);
    for (const at of [1, 0, 2]) queue.delete(members[at] ?? expect.fail());
    expect(members).to.eql([1, 2, 3].map(newMember));
  });
});
