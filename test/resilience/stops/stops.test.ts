import { expect } from "chai";
import { postgresUrl } from "../../support/cluster.ts";
import { isBroken, lineOf } from "../support/report.ts";
import { conditions } from "./conditions.ts";
import { stopFigures } from "./figures.ts";
import { type StopOptions, stopUnderLoad } from "./stop.ts";

// The short form of `npm run test:stops`.
describe("a process that is stopped under load", function () {
  this.timeout(180_000);
  let ways: readonly StopOptions[] = [];
  before(async () => {
    ways = conditions(2, await postgresUrl());
  });
  const broken = async (options: StopOptions) => {
    const outcome = await stopUnderLoad(options);
    const figures = stopFigures(outcome, options).filter(isBroken);
    return { lines: [...figures.map(lineOf), ...outcome.lost], names: figures.map(({ name }) => name) };
  };

  for (const at of [0, 1])
    it(`loses no call and no write, ${at === 0 ? "at once" : "after a while"}`, async () => {
      expect((await broken(ways[at] as StopOptions)).lines).to.eql([]);
    });

  it("would lose calls if it ended at once", async () => {
    const { names } = await broken({ ...(ways[0] as StopOptions), mutant: "exit" });
    expect(names).to.include("calls lost");
  });
});
