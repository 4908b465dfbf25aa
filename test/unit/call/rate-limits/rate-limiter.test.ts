import { expect } from "chai";
import fc from "fast-check";
import { RateLimiter } from "../../../../src/call/rate-limits/rate-limiter.ts";

/** 600 a minute with bursts of 200, on a clock of its own: one comes back every 100 ms. */
function limiter({ perMinute = 600, burst = 200, maxCallers = 10 } = {}) {
  const clock = { ms: 1_000_000 };
  const rate = { name: "writes", perMinute, burst };
  return { clock, limiter: new RateLimiter(rate, { maxCallers, now: () => clock.ms }) };
}

function takeAll(of: RateLimiter, key: string): number {
  for (let taken = 0; taken < 10_000; taken++) if (!of.take(key).allowed) return taken;
  throw new Error("the limiter never refused");
}

describe("a rate limiter", () => {
  it("allows a burst, and then as many as come back", () => {
    const { clock, limiter: writes } = limiter();
    expect(takeAll(writes, "ada")).to.equal(200);
    clock.ms += 99;
    expect(takeAll(writes, "ada")).to.equal(0);
    clock.ms += 1;
    expect(takeAll(writes, "ada")).to.equal(1);
    clock.ms += 60_000;
    expect(takeAll(writes, "ada")).to.equal(200);
    let minute = 0;
    for (let second = 0; second < 60; second++) {
      clock.ms += 1_000;
      minute += takeAll(writes, "ada");
    }
    expect(minute).to.equal(600);
  });

  it("counts every caller apart", () => {
    const { limiter: writes } = limiter();
    takeAll(writes, "ada");
    expect(takeAll(writes, "bob")).to.equal(200);
  });

  it("reports the remaining quota, and when to retry", () => {
    const { clock, limiter: writes } = limiter({ perMinute: 6, burst: 3 });
    expect(writes.take("ada")).to.eql({ allowed: true, remaining: 2, fullAfter: 10, nextAfter: 1 });
    expect(writes.take("ada")).to.eql({ allowed: true, remaining: 1, fullAfter: 20, nextAfter: 1 });
    expect(writes.take("ada")).to.eql({ allowed: true, remaining: 0, fullAfter: 30, nextAfter: 10 });
    expect(writes.take("ada")).to.eql({ allowed: false, remaining: 0, fullAfter: 30, nextAfter: 10 });
    clock.ms += 9_001;
    expect(writes.take("ada")).to.eql({ allowed: false, remaining: 0, fullAfter: 21, nextAfter: 1 });
    clock.ms += 999;
    expect(writes.take("ada").allowed).to.equal(true);
  });

  it("charges nothing for what it refuses", () => {
    const { clock, limiter: writes } = limiter();
    takeAll(writes, "ada");
    for (let i = 0; i < 10_000; i++) writes.take("ada");
    clock.ms += 100;
    expect(writes.take("ada").allowed).to.equal(true);
  });

  it("never allows more than the burst and what came back, nor refuses less, whenever calls come", () => {
    const rate = fc.record({
      perMinute: fc.integer({ min: 1, max: 100_000 }),
      burst: fc.integer({ min: 1, max: 500 }),
    });
    const pauses = fc.array(fc.integer({ min: 0, max: 5_000 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(rate, pauses, (of, waits) => {
        const { clock, limiter: writes } = limiter(of);
        // The bucket that the debt stands for, with a margin for sums that are not exact.
        let tokens = of.burst;
        for (const wait of waits) {
          clock.ms += wait;
          tokens = Math.min(of.burst, tokens + (wait * of.perMinute) / 60_000);
          const { allowed } = writes.take("ada");
          if (Math.abs(tokens - 1) > 0.01) expect(allowed).to.equal(tokens > 1);
          if (allowed) tokens -= 1;
        }
      }),
    );
  });

  it("remembers no more callers than its limit, and forgets the least recent first", () => {
    const { limiter: writes } = limiter({ burst: 2, maxCallers: 3 });
    for (const key of ["ada", "bob", "cho"]) takeAll(writes, key);
    const other = limiter({ burst: 2, maxCallers: 3 }).limiter;
    for (const key of ["ada", "bob", "ada", "cho", "dan"]) other.take(key);
    expect(other.take("ada").allowed).to.equal(false);
    expect(takeAll(other, "bob")).to.equal(2);
    for (let i = 0; i < 1_000; i++) writes.take(`address-${i}`);
    expect(takeAll(writes, "ada")).to.equal(2);
  });
});
