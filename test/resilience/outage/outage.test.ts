import { expect } from "chai";
import { canStartServer } from "../../support/throwaway-server.ts";
import { newSeed } from "../support/random.ts";
import { brokenLines, brokenNames } from "../support/report.ts";
import { type Fault, faults } from "./faults.ts";
import { openStage, outageFigures, runOutage } from "./outage.ts";

/** Other tests use the machine: the full run has the promised bounds. */
const slack = 5;
const options = { seed: newSeed(), lastsMs: 2_500, settleMs: 0 };

// The short form of `npm run test:outage`.
describe("an outage of the database", function () {
  this.timeout(180_000);
  let stage: Awaited<ReturnType<typeof openStage>>;
  before(async function () {
    if (!canStartServer()) return this.skip();
    stage = await openStage();
  });
  after(() => stage?.[Symbol.asyncDispose]());

  for (const [name, fault] of Object.entries(faults)) {
    it(`is noticed, reported at once and survived: ${name}`, async () => {
      const figures = outageFigures(name, await runOutage(stage, fault, options), slack);
      expect(brokenLines({ figures })).to.eql([]);
    });
  }

  it("keeps calls waiting on the mutant without timeouts and a circuit breaker", async () => {
    await using patient = await openStage("patient");
    const outage = await runOutage(patient, faults.frozen as Fault, options);
    const broken = brokenNames(outageFigures("frozen", outage, slack));
    expect(broken).to.include("frozen: p99 of all meanwhile, ms");
  });
});
