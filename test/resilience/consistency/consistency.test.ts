import { expect } from "chai";
import { canStartServer } from "../../support/throwaway-server.ts";
import { newSeed } from "../support/random.ts";
import { brokenLines, brokenNames } from "../support/report.ts";
import { loseWrites, lostFigures } from "./lost-writes.ts";
import { pausedFigures, pauseReplay } from "./paused-replay.ts";
import { mutants, wayOf } from "./ways.ts";

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

  it("is never satisfied after its write was lost by a failover", async () => {
    expect(brokenLines({ figures: lostFigures(await loseWrites(10, wayOf(undefined))) })).to.eql([]);
  });

  for (const [name, way] of Object.entries(mutants)) {
    it(`would be satisfied after its write was lost: ${name}`, async () => {
      expect(brokenNames(lostFigures(await loseWrites(10, way)))).to.include(
        "lost writes: of these satisfied",
      );
    });
  }
});
