import { expect } from "chai";
import { canStartServer } from "../../support/throwaway-server.ts";
import { mutantNames } from "../runs.ts";
import { newSeed } from "../support/random.ts";
import { brokenLines } from "../support/report.ts";
import { type ReplayOptions, replay } from "./replay.ts";

// The short form of `npm run test:changes`.
describe("followed changes", function () {
  this.timeout(240_000);
  const seed = newSeed();
  const options: ReplayOptions = {
    seed,
    changes: 500,
    users: 10,
    apiWriters: 10,
    sqlWriters: 4,
    openMs: 1_000,
    killMs: 300,
    changesPerCrash: 300,
    changesPerComparison: 200,
    losesCommits: false,
  };

  const lossy = { changesPerCrash: 200, losesCommits: true };

  before(function () {
    if (!canStartServer()) this.skip();
  });

  it("make copies that equal the tables", async () => {
    expect(brokenLines(await replay(options)), `seed ${seed}`).to.eql([]);
  });

  it("begin anew when a crash loses commits", async () => {
    expect(brokenLines(await replay({ ...options, ...lossy })), `seed ${seed}`).to.eql([]);
  });

  for (const mutant of mutantNames("changes"))
    it(`do not on the mutant with ${mutant}`, async () => {
      const isOfHistories = mutant === "lost ticks go unnoticed";
      // It ends with the first problem.
      const report = await replay({
        ...options,
        changes: 10_000,
        ...(isOfHistories ? lossy : { changesPerCrash: 10_000 }),
        mutant: mutant as never,
      });
      const kinds = brokenLines(report).join("\n");
      expect(kinds, `seed ${seed}`).to.match(/keys that differ|changes of nothing|changes out of order/);
    });
});
