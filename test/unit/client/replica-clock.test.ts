import { expect } from "chai";
import { DatabaseClock, ElapsedClock } from "../../../src/client/replica-clock.ts";

describe("the clock of a replica", () => {
  const clocks = { wall: Date.now, monotonic: performance.now };
  let wall: number;
  let monotonic: number;
  beforeEach(() => {
    wall = 1_780_000_000_000;
    monotonic = 5_000;
    Date.now = () => wall;
    performance.now = () => monotonic;
  });
  afterEach(() => {
    Date.now = clocks.wall;
    performance.now = clocks.monotonic;
  });

  const elapsed = (clock: ElapsedClock, change: () => void) => {
    const before = clock.now();
    change();
    return clock.now() - before;
  };

  for (const { title, wallBy, monotonicBy, shown } of [
    { title: "both pass", wallBy: 100, monotonicBy: 100, shown: 100 },
    { title: "the wall clock is set back", wallBy: -3_600_000, monotonicBy: 100, shown: 100 },
    { title: "the machine was suspended", wallBy: 60_000, monotonicBy: 100, shown: 60_000 },
    { title: "the wall clock stands still", wallBy: 0, monotonicBy: 100, shown: 100 },
  ])
    it(`shows the time that has passed when ${title}`, () => {
      const pass = () => {
        wall += wallBy;
        monotonic += monotonicBy;
      };
      expect(elapsed(new ElapsedClock(), pass)).to.be.closeTo(shown, 0.01);
    });

  it("goes on by the monotonic clock after the wall clock was set forward and back", () => {
    const clock = new ElapsedClock();
    clock.now();
    wall += 10_000;
    clock.now();
    wall -= 10_000;
    expect(elapsed(clock, () => (monotonic += 70))).to.be.closeTo(70, 0.01);
  });

  it("shows the time of a suspension also after the wall clock was set forward and back", () => {
    const clock = new ElapsedClock();
    clock.now();
    wall += 3_600_000;
    clock.now();
    wall -= 3_600_000;
    expect(elapsed(clock, () => (wall += 600_000))).to.be.closeTo(600_000, 0.01);
  });

  it("shows no time twice when the wall clock is coarse", () => {
    const clock = new ElapsedClock();
    const before = clock.now();
    const begun = { wall, monotonic };
    for (let ms = 0; ms < 2_000; ms += 0.1) {
      monotonic = begun.monotonic + ms;
      wall = begun.wall + Math.floor(ms);
      clock.now();
    }
    expect(clock.now() - before).to.be.closeTo(2_000, 1);
  });
});

describe("the clock of the database", () => {
  for (const { title, aheadMs } of [
    { title: "agrees", aheadMs: 0 },
    { title: "is an hour ahead", aheadMs: 3_600_000 },
    { title: "is an hour behind", aheadMs: -3_600_000 },
  ])
    it(`showed a time when it did, at the earliest, when it ${title}`, () => {
      const clock = new DatabaseClock();
      expect(clock.earliestAt(0)).to.equal(Number.NEGATIVE_INFINITY);
      // Asked at 1,000, it showed its time at 1,040; so 1,040 is when it showed that at the latest.
      clock.compare(1_000, (1_040 + aheadMs) * 1_000);
      expect(clock.earliestAt((1_040 + aheadMs) * 1_000)).to.equal(1_000);
      expect(clock.earliestAt((5_040 + aheadMs) * 1_000)).to.equal(5_000);
      expect(clock.earliestAt((540 + aheadMs) * 1_000)).to.equal(500);
    });
});
