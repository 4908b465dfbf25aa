import { once } from "node:events";
import { PassThrough } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { expect } from "chai";
import { pino } from "pino";
import { AdaptiveConcurrencyLimiter } from "../../../src/overload/adaptive-concurrency-limiter.ts";
import { until } from "../../support/until.ts";

const silent = pino({ level: "silent" });

describe("the concurrency limiter of a listener", () => {
  it("rejects calls that arrive while no slot is free, and no others", async () => {
    const limiter = new AdaptiveConcurrencyLimiter(2, silent);
    const [first, second] = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
    const one = limiter.run(() => first.promise);
    expect(limiter.tryAcquire()).to.equal(true);
    const other = limiter.run(() => second.promise);
    expect(limiter.tryAcquire()).to.equal(false);
    first.resolve("done");
    expect(await one).to.equal("done");
    expect(limiter.tryAcquire()).to.equal(true);
    second.reject(new Error("failed"));
    expect(await other.catch(({ message }) => message)).to.equal("failed");
    expect(limiter.tryAcquire()).to.equal(true);
  });

  it("rejects a call whose queue is full", () => {
    const limiter = new AdaptiveConcurrencyLimiter(2, silent);
    expect(limiter.tryAcquire(true)).to.equal(false);
    expect(limiter.tryAcquire(false)).to.equal(true);
  });

  it("gives the slot of a call to others while the call waits for its client", async () => {
    const limiter = new AdaptiveConcurrencyLimiter(1, silent);
    const client = Promise.withResolvers<void>();
    const rest = Promise.withResolvers<void>();
    const waited = Promise.withResolvers<void>();
    const call = limiter.run(async () => {
      await limiter.yieldSlot(() => client.promise);
      waited.resolve();
      await rest.promise;
    });
    expect(limiter.tryAcquire()).to.equal(true);
    client.resolve();
    await waited.promise;
    expect(limiter.tryAcquire()).to.equal(false);
    rest.resolve();
    await call;
    expect(limiter.tryAcquire()).to.equal(true);
  });

  it("gives up the slot of work that takes longer than it may, once", async () => {
    const limiter = new AdaptiveConcurrencyLimiter(1, silent);
    const slow = Promise.withResolvers<void>();
    const work = limiter.run(() => slow.promise, 20);
    expect(limiter.tryAcquire()).to.equal(false);
    while (!limiter.tryAcquire()) await new Promise(setImmediate);
    limiter.begin();
    slow.resolve();
    await work;
    expect(limiter.tryAcquire()).to.equal(false);
  });

  it("reserves slots for calls that came in the same turn of the event loop and have not begun", async () => {
    const limiter = new AdaptiveConcurrencyLimiter(2, silent);
    const admitted = [limiter.tryAcquire(), limiter.tryAcquire(), limiter.tryAcquire()];
    expect(admitted).to.eql([true, true, false]);
    limiter.begin();
    expect(limiter.tryAcquire()).to.equal(false);
    // By then the others wait for their clients.
    await new Promise(setImmediate);
    expect(limiter.tryAcquire()).to.equal(true);
  });

  describe("whose calls are late", () => {
    let limiter: AdaptiveConcurrencyLimiter;
    beforeEach(() => {
      limiter = new AdaptiveConcurrencyLimiter(200, silent);
    });

    /** Has calls end that began so long ago, for as long as it takes until `until`. */
    async function endCalls(began: (at: number) => number | undefined, until: () => boolean): Promise<void> {
      while (!until()) {
        for (let i = 0; i < 16; i++) limiter.release(began(limiter.begin()));
        await setTimeout(20);
      }
    }

    it("lowers its limit, and raises it when there are no more calls", async () => {
      await endCalls(
        (at) => at - 1_000,
        () => limiter.limit < 200,
      );
      await until(() => limiter.limit >= 200);
    });

    it("ignores the latency of failed calls and of token checks", async () => {
      const slowMs = 300;
      const fail = () => {
        limiter.begin();
        setTimeout(slowMs).then(() => limiter.release());
      };
      let rounds = 0;
      await endCalls(
        () => {
          fail();
          void limiter.run(() => setTimeout(slowMs));
          return undefined;
        },
        () => rounds++ > 40,
      );
      expect(limiter.limit).to.equal(200);
    });
  });

  it("admits any number of calls when it is off", () => {
    const limiter = new AdaptiveConcurrencyLimiter(0, silent);
    for (let i = 0; i < 10_000; i++) void limiter.run(() => new Promise(() => {}));
    expect(limiter.tryAcquire()).to.equal(true);
    expect(limiter.limit).to.equal(Number.POSITIVE_INFINITY);
  });

  it("logs how many it rejected, not each of them", async () => {
    const output = new PassThrough();
    const limiter = new AdaptiveConcurrencyLimiter(1, pino(output));
    void limiter.run(() => new Promise(() => {}));
    for (let i = 0; i < 1_000; i++) limiter.tryAcquire();
    const [line] = await once(output, "data");
    expect(JSON.parse(line)).to.include({ rejected: 1_000, level: 40 });
    expect(output.read()).to.equal(null);
  });
});
