import { once } from "node:events";
import { PassThrough } from "node:stream";
import { expect } from "chai";
import { pino } from "pino";
import { Load } from "../../../src/rpc/load.ts";

const silent = pino({ level: "silent" });

describe("the load of a listener", () => {
  it("refuses what comes while there is no room, and nothing else", async () => {
    const load = new Load(2, silent);
    const [first, second] = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
    const one = load.during(() => first.promise);
    expect(load.refuses()).to.equal(false);
    const other = load.during(() => second.promise);
    expect(load.refuses()).to.equal(true);
    first.resolve("done");
    expect(await one).to.equal("done");
    expect(load.refuses()).to.equal(false);
    second.reject(new Error("failed"));
    expect(await other.catch(({ message }) => message)).to.equal("failed");
    expect(load.refuses()).to.equal(false);
  });

  it("leaves its place to others while it waits for a client", async () => {
    const load = new Load(1, silent);
    const client = Promise.withResolvers<void>();
    const rest = Promise.withResolvers<void>();
    const waited = Promise.withResolvers<void>();
    const call = load.during(async () => {
      await load.outside(() => client.promise);
      waited.resolve();
      await rest.promise;
    });
    expect(load.refuses()).to.equal(false);
    client.resolve();
    await waited.promise;
    expect(load.refuses()).to.equal(true);
    rest.resolve();
    await call;
    expect(load.refuses()).to.equal(false);
  });

  it("counts those who came in the same turn of the event loop and have not begun", async () => {
    const load = new Load(2, silent);
    const asked = [load.refuses(), load.refuses(), load.refuses()];
    expect(asked).to.eql([false, false, true]);
    load.enter();
    expect(load.refuses()).to.equal(true);
    // By then the others wait for their clients.
    await new Promise(setImmediate);
    expect(load.refuses()).to.equal(false);
  });

  describe("that is watched for what is late", () => {
    let now: number;
    let lagMs: number;
    let load: Load;
    beforeEach(() => {
      now = 0;
      lagMs = 0;
      const lag = { ms: () => lagMs, restart: () => {} };
      load = new Load(1_000, silent, { now: () => now, lag });
    });

    /** Calls that take so long, of which one ends every 5 ms. */
    function end(count: number, ms: number): void {
      const since = Array.from({ length: count }, () => load.enter());
      now += ms;
      for (const one of since) {
        now += 5;
        load.leave(one);
      }
    }

    it("takes no more than can be done in time", () => {
      end(1_000, 300);
      // One every 5 ms are 50 in 250 ms.
      expect(load.limit).to.be.within(45, 55);
    });

    it("takes some however late they are", () => {
      for (let i = 0; i < 100; i++) {
        now += 1_000;
        end(1, 60_000);
      }
      expect(load.limit).to.equal(16);
    });

    it("takes more again when they are in time, and never more than it may", () => {
      end(1_000, 300);
      for (let i = 0; i < 64; i++) end(1, 20);
      const before = load.limit;
      expect(before).to.be.at.most(70);
      for (let i = 0; i < 64; i++) end(1, 20);
      expect(load.limit).to.be.within(before + 1, before * 2);
      for (let i = 0; i < 10_000; i++) end(1, 20);
      expect(load.limit).to.equal(1_000);
    });

    it("takes fewer while the event loop is late", () => {
      lagMs = 40;
      for (let i = 0; i < 40; i++) end(1, 20);
      expect(load.limit).to.be.within(200, 300);
      for (let i = 0; i < 1_000; i++) end(1, 20);
      expect(load.limit).to.equal(16);
      lagMs = 5;
      for (let i = 0; i < 10_000; i++) end(1, 20);
      expect(load.limit).to.equal(1_000);
    });

    it("does not mind an event loop that is late now and then", () => {
      for (let i = 0; i < 1_000; i++) {
        lagMs = i % 32 < 16 ? 100 : 0;
        end(1, 20);
      }
      expect(load.limit).to.equal(1_000);
    });

    it("does not mind some that are late among many", () => {
      const stuck = Array.from({ length: 40 }, () => load.enter());
      for (let i = 0; i < 1_000; i++) end(1, 20);
      for (const one of stuck) {
        load.leave(one);
        for (let i = 0; i < 2; i++) end(1, 20);
      }
      expect(load.limit).to.equal(1_000);
    });

    it("does not mind how long calls take to fail", async () => {
      const fail = load.interceptor(async () => {
        now += 1_000;
        throw new Error("it failed");
      });
      for (let i = 0; i < 100; i++) await fail({ stream: false } as never).catch(() => {});
      expect(load.limit).to.equal(1_000);
    });

    it("does not mind a moment in which calls are late", () => {
      end(16, 1_000);
      for (let i = 0; i < 100; i++) end(1, 20);
      expect(load.limit).to.equal(1_000);
    });

    it("does not mind how long tokens take to be checked", async () => {
      for (let i = 0; i < 100; i++)
        await load.during(async () => {
          now += 1_000;
        });
      expect(load.limit).to.equal(1_000);
    });
  });

  it("takes any number when it is off", () => {
    const load = new Load(0, silent);
    for (let i = 0; i < 10_000; i++) void load.during(() => new Promise(() => {}));
    expect(load.refuses()).to.equal(false);
    for (let i = 0; i < 100; i++) load.leave(performance.now() - 1_000);
    expect(load.limit).to.equal(Number.POSITIVE_INFINITY);
  });

  it("logs how many it refused, not each of them", async () => {
    const output = new PassThrough();
    const load = new Load(1, pino(output));
    void load.during(() => new Promise(() => {}));
    for (let i = 0; i < 1_000; i++) load.refuses();
    const [line] = await once(output, "data");
    expect(JSON.parse(line)).to.include({ refused: 1_000, level: 40 });
    expect(output.read()).to.equal(null);
  });
});
