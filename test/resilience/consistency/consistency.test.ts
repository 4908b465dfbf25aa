import { expect } from "chai";
import { canStartServer } from "../../support/throwaway-server.ts";
import { newSeed } from "../support/random.ts";
import { brokenLines, brokenNames } from "../support/report.ts";
import { losses } from "./lost-writes.ts";
import { pausedFigures, pauseReplay } from "./paused-replay.ts";
import { type ConsistencyMutant, lossOf, wayOf } from "./ways.ts";

// The short form of `npm run test:consistency`.
describe("a consistency token", function () {
  this.timeout(120_000);
  before(function () {
    if (!canStartServer()) this.skip();
  });

  it("is never satisfied by a standby that lacks what it covers", async () => {
    const seed = newSeed();
    const answers = await pauseReplay({ seed, lastsMs: 6_000, way: wayOf(undefined) });
    expect(brokenLines({ figures: pausedFigures(answers) }), `seed ${seed}`).to.eql([]);
  });

  for (const [name, lose] of Object.entries(losses))
    it(`is never satisfied after its write was lost by ${name}`, async () => {
      expect(brokenLines({ figures: await lose(10, wayOf(undefined)) })).to.eql([]);
    });

  for (const [mutant, loss] of Object.entries(lossOf) as [ConsistencyMutant, keyof typeof losses][])
    it(`would be satisfied after its write was lost by ${loss}: ${mutant}`, async () => {
      expect(brokenNames(await losses[loss](10, wayOf(mutant)))).to.include(
        `writes lost by ${loss}: of these satisfied`,
      );
    });
});
