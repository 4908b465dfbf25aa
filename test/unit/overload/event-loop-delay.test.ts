import { setTimeout } from "node:timers/promises";
import { expect } from "chai";
import { watchLoopLag } from "../../../src/overload/event-loop-delay.ts";

const longMs = 100;

function takeLong(): void {
  for (const until = performance.now() + longMs; performance.now() < until; );
}

describe("the lag of the event loop", () => {
  it("is measured within a long turn, and after it", async () => {
    const lag = watchLoopLag();
    lag.restart();
    takeLong();
    expect(lag.ms()).to.be.within(longMs / 2, 10 * longMs);
    await setTimeout(30);
    expect(lag.ms()).to.be.above(longMs / 10);
  });

  it("is not that of what was over when it was started anew", async () => {
    const lag = watchLoopLag();
    takeLong();
    lag.restart();
    const restartedAt = performance.now();
    await setTimeout(1);
    // A busy machine may take long for that, too.
    const since = performance.now() - restartedAt;
    expect(lag.ms()).to.be.below(longMs / 2 + since);
  });
});
