import { expect } from "chai";
import { postgresUrl } from "../../support/cluster.ts";
import { fuzzRpc } from "./fuzz-rpc.ts";

/** The long form holds to one second; here others may use the machine. */
const slowMs = 10_000;
const seed = Number(process.env.PROPERTY_SEED ?? 1);

describe("gRPC, gRPC-Web and Connect, whatever is sent", function () {
  this.timeout(180_000);

  it("survive, and blame nobody else", async () => {
    const { problems } = await fuzzRpc({ databaseUrl: await postgresUrl(), seed, count: 2_000, slowMs });
    expect(problems).to.eql([]);
  });

  it("would not, if nobody told whose fault it is", async () => {
    const mutant = "no telling whose fault it is";
    const databaseUrl = await postgresUrl();
    const options = { databaseUrl, mutant, seed, count: 10_000, slowMs, untilProblem: true } as const;
    const { problems } = await fuzzRpc(options);
    expect(problems.join("\n")).to.contain("came to Internal");
  });
});
