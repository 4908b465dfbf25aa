import { setTimeout } from "node:timers/promises";
import { expect } from "chai";
import { EventLoopDelay } from "../../../src/overload/adaptive-concurrency-limiter.ts";

const longMs = 100;

function takeLong(): void {
  for (const until = performance.now() + longMs; performance.now() < until; );
}

describe("the delay of the event loop", () => {
  it("is measured within a long turn, and after it", async () => {
    const delay = new EventLoopDelay();
    delay.restart();
    takeLong();
    expect(delay.ms).to.be.within(longMs / 2, 10 * longMs);
    await setTimeout(30);
    expect(delay.ms).to.be.above(longMs / 10);
  });

  it("does not include what ended before a restart", async () => {
    const delay = new EventLoopDelay();
    takeLong();
    delay.restart();
    const restartedAt = performance.now();
    await setTimeout(1);
    // A busy machine may take long for that, too.
    const since = performance.now() - restartedAt;
    expect(delay.ms).to.be.below(longMs / 2 + since);
  });
});
