import { expect } from "chai";
import { canStartServer } from "../../support/throwaway-server.ts";
import { newSeed } from "../support/random.ts";
import { brokenLines } from "../support/report.ts";
import { type FaultName, faultNames } from "./faults.ts";
import { type ReplicaRunOptions, runReplica } from "./replica-run.ts";

interface Found {
  readonly only: readonly FaultName[];
  readonly lastsMs: number;
  readonly problem: RegExp;
}

/** The fault in which a mutant is found, and as what. */
const found = {
  "age not counted while disconnected": {
    only: ["connections frozen"],
    lastsMs: 4_000,
    problem: /blocks that were missed/,
  },
  "signs of life make a copy current": {
    only: ["an instance without its database"],
    lastsMs: 3_000,
    problem: /blocks that were missed/,
  },
  "half of a moment is applied": {
    only: ["connections cut"],
    lastsMs: 1_000,
    problem: /answers of a state that never was|decisions that differ/,
  },
  "a copy answers while it is loaded": {
    only: ["cursors expired"],
    lastsMs: 100,
    problem: /answers of a state that never was|decisions that differ/,
  },
  "the cursor is kept when a copy is loaded anew": {
    only: ["cursors expired"],
    lastsMs: 100,
    problem: /replicas that do not catch up/,
  },
} as const satisfies Record<string, Found>;

const maxRounds = 10;

// The short form of `npm run test:replica`.
describe("replicas", function () {
  this.timeout(240_000);
  const seed = newSeed();
  const options: Omit<ReplicaRunOptions, "rounds"> = { seed, lastsMs: 1_000, catchUpMs: 30_000 };

  before(function () {
    if (!canStartServer()) this.skip();
  });

  it("decide as the service does, and never by what is older than accepted", async () => {
    const report = await runReplica({ ...options, rounds: faultNames.length });
    expect(brokenLines(report), `seed ${seed}`).to.eql([]);
  });

  for (const [mutant, { problem, ...fault }] of Object.entries(found) as [keyof typeof found, Found][])
    it(`do not on the mutant: ${mutant}`, async () => {
      const report = await runReplica({ ...options, ...fault, catchUpMs: 10_000, rounds: maxRounds, mutant });
      expect(brokenLines(report).join("\n"), `seed ${seed}`).to.match(problem);
    });
});
