import { expect } from "chai";
import { canStartServer } from "../../support/throwaway-server.ts";
import { newSeed } from "../support/random.ts";
import { brokenLines } from "../support/report.ts";
import { type ChaosOptions, chaosFigures, killEmbedded, killPostgresql, killServices } from "./chaos.ts";

const maxRounds = 8;
/** Ready again at some time: the full run bounds the time. */
const slowestMs = 60_000;

// The short form of `npm run test:chaos`.
describe("acknowledged changes", function () {
  this.timeout(240_000);
  const options: ChaosOptions = {
    seed: newSeed(),
    clients: 32,
    // Many, so that what is lost in one place does not explain what is lost in another.
    users: 24,
    operations: 400,
    kills: 2,
    nextKill: (progress) => progress.after(150),
  };
  const broken = async (run: typeof killPostgresql, changed: Partial<ChaosOptions> = {}) => {
    const outcome = await run({ ...options, ...changed });
    return brokenLines({ figures: chaosFigures("run", outcome, slowestMs), notes: outcome.violations });
  };

  it("survive the end of PostgreSQL", async function () {
    if (!canStartServer()) return this.skip();
    expect(await broken(killPostgresql)).to.eql([]);
  });

  it("survive the end of the service on PostgreSQL", async function () {
    if (!canStartServer()) return this.skip();
    expect(await broken(killServices)).to.eql([]);
  });

  it("survive the end of the service on the embedded database", async () => {
    expect(await broken(killEmbedded, { clients: 8, operations: 100, kills: 1 })).to.eql([]);
  });

  it("are lost on the mutant that answers before the commit", async function () {
    if (!canStartServer()) return this.skip();
    let found: string[] = [];
    for (let round = 0; round < maxRounds && found.length === 0; round++)
      found = await broken(killPostgresql, { seed: options.seed + round, mutant: "early", kills: 3 });
    expect(found).not.to.eql([]);
  });
});
