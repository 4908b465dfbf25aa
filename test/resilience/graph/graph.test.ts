import { expect } from "chai";
import { canStartServer } from "../../support/throwaway-server.ts";
import { brokenLines, brokenNames } from "../support/report.ts";
import { runBurst } from "./burst.ts";
import { runGraph } from "./graph-run.ts";

const maxRounds = 6;
const atOnce = "wrong decisions, asked at once";
const inBurst = "burst: wrong decisions";
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

  it("are right while many edges are imported", async () => {
    expect(brokenLines(await runBurst({ edges: 20_000, calmMs: 100 }))).to.eql([]);
  });

  it("are not right while many edges are imported on the mutant: decisions without asking the database", async () => {
    let broken: string[] = [];
    for (let round = 0; round < maxRounds && !broken.includes(inBurst); round++)
      broken = brokenNames(
        (await runBurst({ edges: 20_000, calmMs: 100, mutant: "decisions without asking the database" }))
          .figures,
      );
    expect(broken).to.include(inBurst);
  });

  for (const [mutant, figure] of Object.entries(found) as [keyof typeof found, string][])
    it(`are not on the mutant: ${mutant}`, async () => {
      let broken: string[] = [];
      for (let round = 0; round < maxRounds && !broken.includes(figure); round++)
        broken = brokenNames((await runGraph({ rounds: 1, mutant })).figures);
      expect(broken).to.include(figure);
    });
});
