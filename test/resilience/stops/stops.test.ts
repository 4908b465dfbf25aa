import { expect } from "chai";
import { postgresUrl } from "../../support/cluster.ts";
import { brokenLines, brokenNames } from "../support/report.ts";
import { type StopOptions, stopFigures, stopUnderLoad, waysToStop } from "./stop.ts";

// The short form of `npm run test:stops`.
describe("a process that is stopped under load", function () {
  this.timeout(180_000);
  let ways: readonly StopOptions[] = [];
  before(async () => {
    ways = waysToStop(2, await postgresUrl());
  });

  for (const at of [0, 1])
    it(`loses no call and no write, ${at === 0 ? "without" : "with"} a drain delay`, async () => {
      const options = ways[at] as StopOptions;
      const outcome = await stopUnderLoad(options);
      expect(brokenLines({ figures: stopFigures(outcome, options), notes: outcome.lost })).to.eql([]);
    });

  it("loses calls on the mutant that ends at once", async () => {
    const options = { ...(ways[0] as StopOptions), mutant: "exit" } as const;
    expect(brokenNames(stopFigures(await stopUnderLoad(options), options))).to.include("calls lost");
  });
});
