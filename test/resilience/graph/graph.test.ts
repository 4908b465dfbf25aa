import { expect } from "chai";
import { canStartServer } from "../../support/throwaway-server.ts";
import { brokenLines, brokenNames } from "../support/report.ts";
import { runGraph } from "./graph-run.ts";

const maxRounds = 6;
const atOnce = "wrong decisions, asked at once";
const found = {
  "decisions without asking the database": atOnce,
  "graph changes in the order of transactions": "wrong decisions, of transactions that overlap",
  "a lost session is carried on": "wrong decisions, after a crash",
  "expiries are forgotten": "wrong decisions, of a block that has ended",
} as const;

// The short form of `npm run test:graph`.
describe("decisions of the graph", function () {
  this.timeout(180_000);
  before(function () {
    if (!canStartServer()) this.skip();
  });

  it("are those of the tables, whatever happens", async () => {
    expect(brokenLines(await runGraph({ rounds: 2 }))).to.eql([]);
  });

  for (const [mutant, figure] of Object.entries(found) as [keyof typeof found, string][])
    it(`are not on the mutant: ${mutant}`, async () => {
      let broken: string[] = [];
      for (let round = 0; round < maxRounds && !broken.includes(figure); round++)
        broken = brokenNames((await runGraph({ rounds: 1, mutant })).figures);
      expect(broken).to.include(figure);
    });
});
