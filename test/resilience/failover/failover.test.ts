import { expect } from "chai";
import { programOrSkip } from "../../support/programs.ts";
import { canStartServer } from "../../support/throwaway-server.ts";
import { newSeed } from "../support/random.ts";
import { brokenLines } from "../support/report.ts";
import { failoverFigures, fates, openFailover, runFailover } from "./failover.ts";

/** Other tests use the machine: the full run has the promised bounds. */
const slack = 3;
const options = { seed: newSeed(), settleMs: 0 };

// The short form of `npm run test:failover`.
describe("a failover of the database", function () {
  this.timeout(180_000);
  let haproxy: string;
  before(function () {
    if (!canStartServer()) return this.skip();
    haproxy = programOrSkip(this, "haproxy");
  });

  for (const [name, fate] of Object.entries(fates).filter(([, { inShort }]) => inShort)) {
    it(`is followed by right answers, with the old primary ${name}`, async () => {
      await using stage = await openFailover(haproxy);
      const figures = failoverFigures(name, await runFailover(stage, fate, options), fate.answers, slack);
      expect(brokenLines({ figures })).to.eql([]);
    });
  }
});
