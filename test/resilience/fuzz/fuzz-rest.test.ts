import { expect } from "chai";
import { postgresUrl } from "../../support/cluster.ts";
import { fuzzRest } from "./fuzz-rest.ts";

/** The long form holds to one second; here others may use the machine. */
const slowMs = 10_000;
const seed = Number(process.env.PROPERTY_SEED ?? 1);

describe("REST, whatever is sent", function () {
  this.timeout(180_000);

  it("survives, and answers in its envelopes", async () => {
    const { problems } = await fuzzRest({ databaseUrl: await postgresUrl(), seed, count: 2_000, slowMs });
    expect(problems).to.eql([]);
  });

  for (const [mutant, found] of [
    ["no check of authorities", "an answer of 5xx"],
    ["no check of framing", "ambiguous, but read"],
    ["no guard of path parameters", "an answer of 5xx"],
  ] as const) {
    it(`would not, with ${mutant}`, async () => {
      const databaseUrl = await postgresUrl();
      const { problems } = await fuzzRest({
        databaseUrl,
        seed,
        count: 10_000,
        slowMs,
        mutant,
        untilProblem: true,
      });
      expect(problems.join("\n")).to.contain(found);
    });
  }
});
