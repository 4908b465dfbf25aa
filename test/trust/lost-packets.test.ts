import { expect } from "chai";
import { canStartServer } from "../support/throwaway-server.ts";
import { isBroken, lineOf } from "./figures.ts";
import { freezeBackends, holdPackets, lostPacketsFigures } from "./lost-packets.ts";
import { newSeed } from "./random.ts";

const maxRounds = 8;

// The short form of `npm run test:lost-packets`.
describe("a change whose packets are late", function () {
  this.timeout(180_000);
  const options = { seed: newSeed(), faults: 3, things: 2 };
  before(function () {
    if (!canStartServer()) this.skip();
  });

  it("takes effect before the next acknowledged one, or never: frozen backends", async () => {
    const outcome = await freezeBackends(options);
    const broken = lostPacketsFigures("run", outcome).filter(isBroken).map(lineOf);
    expect(broken, `seed ${options.seed}: ${outcome.violations.join("; ")}`).to.eql([]);
  });

  it("takes effect before the next acknowledged one, or never: a network that stalls", async () => {
    const outcome = await holdPackets({ ...options, faults: 1 }, [1_000, 1_500]);
    const broken = lostPacketsFigures("run", outcome).filter(isBroken).map(lineOf);
    expect(broken, `seed ${options.seed}: ${outcome.violations.join("; ")}`).to.eql([]);
  });

  it("would take effect later if it were committed without a waiting caller", async () => {
    let found = 0;
    for (let round = 0; round < maxRounds && found === 0; round++) {
      const outcome = await freezeBackends({
        ...options,
        seed: options.seed + round,
        faults: 4,
        mutant: "a commit for nobody",
      });
      found = outcome.violations.length;
    }
    expect(found, `seed ${options.seed}`).to.be.above(0);
  });
});
