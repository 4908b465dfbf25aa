import { expect } from "chai";
import { ConcurrencyLimit, type LoadWindow } from "../../../src/overload/adaptive-concurrency-limiter.ts";

const maximum = 1_000;
const minimum = 16;
/** A window without calls. */
const idle: LoadWindow = { elapsedMs: 100, answered: 0, late: 0, loopDelayMs: 0, rejected: false };
/** A window in which 50 calls were answered, most of them late. */
const slow: LoadWindow = { ...idle, answered: 50, late: 40, rejected: true };

describe("an adaptive concurrency limit", () => {
  let limit: ConcurrencyLimit;
  beforeEach(() => {
    limit = new ConcurrencyLimit(maximum);
  });

  function adjust(windows: number, window: LoadWindow): void {
    for (let i = 0; i < windows; i++) limit.adjust(window);
  }

  /** Lowers the limit as far as it goes. */
  function lower(): void {
    adjust(5, { ...slow, answered: minimum, late: minimum, elapsedMs: 10_000 });
    expect(limit.value).to.equal(minimum);
  }

  it("becomes the number answered within the target when most calls are late", () => {
    adjust(3, slow);
    // 50 answers in 100 ms are 125 in 250 ms.
    expect(limit.value).to.equal(125);
  });

  it("never falls below its minimum, however late calls are", () => {
    adjust(100, { ...slow, elapsedMs: 60_000 });
    expect(limit.value).to.equal(minimum);
  });

  it("falls in proportion while the event loop is delayed, to where the delay is 10 ms", () => {
    const delayed = { ...slow, late: 0 };
    adjust(2, { ...delayed, loopDelayMs: 40 });
    expect(limit.value).to.equal(maximum);
    limit.adjust({ ...delayed, loopDelayMs: 40 });
    expect(limit.value).to.equal(250);
    limit.adjust({ ...delayed, loopDelayMs: 20 });
    expect(limit.value).to.equal(125);
    limit.adjust({ ...delayed, loopDelayMs: 9 });
    expect(limit.value).to.be.within(126, 150);
  });

  it("does not fall for an event loop that is delayed a little while nothing is limited", () => {
    adjust(100, { ...slow, late: 0, loopDelayMs: 20, rejected: false });
    expect(limit.value).to.equal(maximum);
  });

  it("does not fall for a burst that fills a turn of the event loop, however long it is", () => {
    for (let i = 0; i < 100; i++) {
      limit.adjust({ ...slow, answered: 300, late: 300, elapsedMs: 800, loopDelayMs: 700 });
      limit.adjust({ ...slow, answered: 300, late: 300, loopDelayMs: 40 });
      limit.adjust(idle);
    }
    expect(limit.value).to.equal(maximum);
  });

  it("does not fall when a few of many calls are late", () => {
    adjust(100, { ...slow, late: 20 });
    expect(limit.value).to.equal(maximum);
  });

  it("does not fall for a few late calls in a small window", () => {
    adjust(100, { ...slow, answered: minimum - 1, late: minimum - 1, rejected: false });
    expect(limit.value).to.equal(maximum);
  });

  it("recovers within a second on an idle service", () => {
    lower();
    adjust(10, idle);
    expect(limit.value).to.equal(maximum);
  });

  it("recovers as fast at one call a second", () => {
    lower();
    for (let i = 0; i < 10; i++) limit.adjust({ ...idle, answered: i % 10 === 0 ? 1 : 0 });
    expect(limit.value).to.equal(maximum);
  });

  it("grows slowly while calls are rejected", () => {
    lower();
    const inTime = { ...slow, late: 0 };
    limit.adjust(inTime);
    expect(limit.value).to.be.within(minimum + 1, minimum * 1.2);
    adjust(100, inTime);
    expect(limit.value).to.equal(maximum);
  });

  it("waits for more answers while calls are rejected and few are answered", () => {
    lower();
    const few = { ...slow, answered: minimum - 1, late: 0 };
    expect(limit.adjust(few)).to.equal(false);
    expect(limit.value).to.equal(minimum);
    expect(limit.adjust({ ...few, rejected: false })).to.equal(true);
    expect(limit.value).to.be.above(minimum);
  });
});
