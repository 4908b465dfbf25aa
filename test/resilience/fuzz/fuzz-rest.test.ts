import { expect } from "chai";
import { postgresUrl } from "../../support/cluster.ts";
import { brokenLines, brokenNames } from "../support/report.ts";
import { fuzzRest } from "./fuzz-rest.ts";

/** The long form demands answers within one second; here others may use the machine. */
const slowMs = 10_000;
const seed = Number(process.env.PROPERTY_SEED ?? 1);

describe("REST under made-up requests", function () {
  this.timeout(180_000);

  it("survives, and answers in its envelopes", async () => {
    const report = await fuzzRest({ databaseUrl: await postgresUrl(), seed, count: 2_000, slowMs });
    expect(brokenLines(report)).to.eql([]);
  });

  for (const [mutant, found] of [
    ["no check of authorities", "an answer of 5xx"],
    ["no check of framing", "ambiguous, but read"],
    ["no guard of percent-encoding", "an answer of 5xx"],
    ["no clearing of lists", "an answer of 5xx"],
  ] as const) {
    it(`fails on the mutant with ${mutant}`, async () => {
      const size = { seed, count: 10_000, slowMs, untilProblem: true };
      const { figures } = await fuzzRest({ databaseUrl: await postgresUrl(), mutant, ...size });
      expect(brokenNames(figures)).to.include(found);
    });
  }
});
