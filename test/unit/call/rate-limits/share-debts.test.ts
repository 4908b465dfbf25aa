import { once } from "node:events";
import { PassThrough } from "node:stream";
import { expect } from "chai";
import { pino } from "pino";
import { callerLimits } from "../../../../src/call/rate-limits/caller-limits.ts";
import type { Debt } from "../../../../src/call/rate-limits/rate-limiter.ts";
import { type SharedDebts, shareDebts } from "../../../../src/call/rate-limits/share-debts.ts";

const rates = {
  writesPerMinute: 60,
  writesBurst: 2_500,
  failedTokensPerMinute: 60,
  serviceCallsPerMinute: 0,
};

describe("sharing what callers owe", () => {
  it("tells batches of each limit under its name, and learns what comes back", async () => {
    const limits = callerLimits(rates);
    for (let i = 0; i < 2_100; i++) limits.writes?.take(`user-${i}`);
    limits.failedTokens?.take("192.0.2.1");
    const batches: (readonly Debt[])[] = [];
    const forgotten = Promise.withResolvers<void>();
    const shared: SharedDebts = {
      add: async (debts) => {
        batches.push(debts);
        return debts.map(({ key }) => ({ key, ms: 2_400_000 }));
      },
      forget: async () => forgotten.resolve(),
    };
    await using _sharing = shareDebts(limits, shared, pino({ level: "silent" }), 1);
    await forgotten.promise;
    expect(batches.map((batch) => batch.length)).to.eql([1_000, 1_000, 100, 1]);
    expect(batches[0]?.[0]).to.eql({ key: "writes user-0", ms: 1_000 });
    expect(batches[3]).to.eql([{ key: "failed-tokens 192.0.2.1", ms: 1_000 }]);
    expect(limits.writes?.take("user-0").remaining).to.be.within(98, 100);
    expect(limits.failedTokens?.take("192.0.2.1").allowed).to.equal(false);
  });

  it("goes on alone while the database is away, says so once, and tells nothing twice", async () => {
    const limits = callerLimits(rates);
    const output = new PassThrough();
    const lines: string[] = [];
    output.on("data", (line) => lines.push(JSON.parse(line).msg));
    let fails = 0;
    const told: (readonly Debt[])[] = [];
    const shared: SharedDebts = {
      add: async (debts) => {
        if (fails < 3) {
          fails += 1;
          throw new Error("away");
        }
        told.push(debts);
        return debts;
      },
      forget: async () => {},
    };
    await using _sharing = shareDebts(limits, shared, pino(output), 1);
    const taking = setInterval(() => limits.writes?.take("ada"), 1);
    while (lines.length < 2) await once(output, "data");
    clearInterval(taking);
    expect(lines).to.eql([
      "limits are counted by each instance alone",
      "limits are counted across instances again",
    ]);
    expect(fails).to.equal(3);
    expect(limits.writes?.take("ada").remaining).to.be.lessThan(2_499);
  });

  it("ends with the statement under way", async () => {
    const limits = callerLimits(rates);
    limits.writes?.take("ada");
    const asked = Promise.withResolvers<AbortSignal>();
    const shared: SharedDebts = {
      add: (_debts, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason));
          asked.resolve(signal);
        }),
      forget: async () => {},
    };
    const sharing = shareDebts(limits, shared, pino({ level: "silent" }), 1);
    const signal = await asked.promise;
    await sharing[Symbol.asyncDispose]();
    expect(signal.aborted).to.equal(true);
  });
});
