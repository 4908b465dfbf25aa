import { expect } from "chai";
import { deferToNextTurn } from "../../../src/call/streams.ts";

const many = 100;

describe("deferred tasks", () => {
  it("run in their order, in one turn", async () => {
    const order: number[] = [];
    let turns = 0;
    for (let n = 0; n < many; n++) deferToNextTurn(() => order.push(n));
    setImmediate(() => turns++);
    while (turns === 0) await new Promise(setImmediate);
    expect(order).to.eql(Array.from({ length: many }, (_, n) => n));
  });

  it("let the calls that they begin continue before the last of them runs", async () => {
    let gone = 0;
    const seen: number[] = [];
    const task = async () => {
      seen.push(gone);
      // As far as a call must get to be known: its body is read.
      await new Promise<void>((resolve) => process.nextTick(() => process.nextTick(resolve)));
      gone++;
    };
    for (let n = 0; n < many; n++) deferToNextTurn(() => void task());
    while (seen.length < many) await new Promise(setImmediate);
    expect(seen.at(-1)).to.be.at.least(many / 2);
  });

  it("may be added while others run", async () => {
    let ran = 0;
    for (let n = 0; n < many; n++) deferToNextTurn(() => deferToNextTurn(() => ran++));
    for (let turn = 0; turn < many && ran < many; turn++) await new Promise(setImmediate);
    expect(ran).to.equal(many);
  });
});
