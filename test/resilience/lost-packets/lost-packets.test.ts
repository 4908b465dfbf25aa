import { expect } from "chai";
import { canStartServer } from "../../support/throwaway-server.ts";
import { newSeed } from "../support/random.ts";
import { brokenLines } from "../support/report.ts";
import { freezeBackends, holdPackets } from "./faults.ts";
import { lostPacketsFigures } from "./lost-packets.ts";

// The short form of `npm run test:lost-packets`; its mutants fail only now and then, and belong to the full run.
describe("a change whose packets are late", function () {
  this.timeout(180_000);
  const options = { seed: newSeed(), faults: 3, subjects: 2 };
  before(function () {
    if (!canStartServer()) this.skip();
  });

  it("takes effect before the next acknowledged one, or never: frozen backends", async () => {
    const outcome = await freezeBackends(options);
    const broken = brokenLines({ figures: lostPacketsFigures("run", outcome) });
    expect(broken, `seed ${options.seed}: ${outcome.violations.join("; ")}`).to.eql([]);
  });

  it("takes effect before the next acknowledged one, or never: a network that stalls", async () => {
    const outcome = await holdPackets({ ...options, faults: 1 }, [1_000, 1_500]);
    const broken = brokenLines({ figures: lostPacketsFigures("run", outcome) });
    expect(broken, `seed ${options.seed}: ${outcome.violations.join("; ")}`).to.eql([]);
  });
});
