import { expect } from "chai";
import type { Config } from "../../../src/config/config.ts";
import { postgresUrl } from "../../support/cluster.ts";
import { decisionStatements } from "../../support/graph.ts";
import { startService, type TestService } from "../../support/service.ts";
import { countAcross } from "../support/across.ts";
import type { Target } from "../support/pair-client.ts";
import { newSeed } from "../support/random.ts";
import { cutConnection } from "../support/server-faults.ts";
import { withoutPairLock } from "../support/unlocked.ts";
import { type Progress, type RaceOptions, race } from "./race.ts";

const clients = 64;
const maxRounds = 8;

describe("follow against block, on two instances at once", function () {
  this.timeout(180_000);
  let databaseUrl: string;
  const services: TestService[] = [];
  const seed = Number(process.env.RACE_SEED ?? newSeed());

  beforeEach(async function () {
    const url = await postgresUrl();
    if (url === undefined) return this.skip();
    databaseUrl = url;
  });
  afterEach(async () => {
    for (const service of services.splice(0)) await service.stop(1_000);
  });

  /** Starts two instances; `url` is that of `databaseUrl`, in some form. */
  async function startInstances(url: string, overrides: Partial<Config> = {}): Promise<Target[]> {
    for (let i = 0; i < 2; i++) services.push(await startService(url, overrides));
    return Promise.all(
      services.map(async (service) => ({
        internalUrl: service.internalUrl,
        token: await service.serviceToken(),
      })),
    );
  }

  async function expectNoViolation(
    options: Partial<RaceOptions>,
    overrides: Partial<Config> = {},
  ): Promise<void> {
    const instances = await startInstances(databaseUrl, overrides);
    const { operations, lost, violations } = await race({
      seed,
      instances,
      clients,
      operations: 4_000,
      users: 12,
      ...options,
    });
    const found = violations.slice(0, 3).join("\n");
    expect(violations, `seed ${seed}: non-linearizable pairs\n${found}`).to.have.length(0);
    // What is lost can explain much.
    expect(lost).to.be.below(operations / 20);
    expect(await countAcross(databaseUrl), `seed ${seed}: follows across a block`).to.equal(0);
  }

  it("is linearizable for every pair, and leaves no follow between users who block each other", async () => {
    await expectNoViolation({});
    for (const service of services) {
      const { graph, tables } = await decisionStatements(service);
      expect(graph).to.be.above(tables);
    }
  });

  it("is linearizable without the graph in memory", async () => {
    await expectNoViolation({ operations: 2_000 }, { graphMemoryBytes: 0 });
    for (const service of services) {
      const { graph, tables } = await decisionStatements(service);
      expect(graph).to.equal(0);
      expect(tables).to.be.above(0);
    }
  });

  it("stays linearizable while connections to the database are cut", () => {
    const disturb = async (progress: Progress) => {
      while (!progress.enough()) {
        await progress.after(40);
        await cutConnection(databaseUrl);
      }
    };
    return expectNoViolation({ operations: 3_000, users: 6, disturb });
  });

  it("is not linearizable without the lock", async () => {
    await (await startService(databaseUrl)).stop(0);
    const url = await withoutPairLock(databaseUrl);
    const instances = await startInstances(url);
    // Some in every round, as a rule.
    let found = 0;
    for (let round = 0; round < maxRounds && found === 0; round++) {
      const outcome = await race({
        seed: seed + round,
        instances,
        clients,
        operations: 2_000,
        users: 6,
      });
      found = outcome.violations.length;
    }
    expect(found, `seed ${seed}`).to.be.above(0);
  });
});
