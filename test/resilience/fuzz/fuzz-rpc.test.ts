import { expect } from "chai";
import { postgresUrl } from "../../support/cluster.ts";
import { brokenLines, brokenNames } from "../support/report.ts";
import { fuzzRpc } from "./fuzz-rpc.ts";

/** The long form demands answers within one second; here others may use the machine. */
const slowMs = 10_000;
const seed = Number(process.env.PROPERTY_SEED ?? 1);

describe("gRPC, gRPC-Web and Connect under mutated calls", function () {
  this.timeout(180_000);

  it("survive, and answer no fault of the sender with an internal error", async () => {
    const report = await fuzzRpc({ databaseUrl: await postgresUrl(), seed, count: 2_000, slowMs });
    expect(brokenLines(report)).to.eql([]);
  });

  it("fail on the mutant that takes a sender's fault for its own", async () => {
    const mutant = "no blame of senders";
    const size = { seed, count: 10_000, slowMs, untilProblem: true };
    const { figures } = await fuzzRpc({ databaseUrl: await postgresUrl(), mutant, ...size });
    expect(brokenNames(figures)).to.include("came to Internal");
  });
});
