import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import { AccessService } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { PrivacyReplica } from "../../src/client/replica.ts";
import { readDecisionTable } from "../support/decision-vectors.ts";
import { startService, type TestService } from "../support/service.ts";
import { checkOf, inGroups, type StoredVector, storeVectors } from "../support/stored-vectors.ts";

/** Those that the clock of the machine cannot change: test/unit/client/replica-vectors.test.ts has the others. */
const vectors = readDecisionTable().vectors.filter(({ facts }) => !JSON.stringify(facts).includes("expires"));

describe("the decision table in a replica", function () {
  this.timeout(120_000);
  let service: TestService;
  let replica: PrivacyReplica;
  let stored: StoredVector[];
  before(async () => {
    service = await startService();
    const token = await service.serviceToken("access.read changes.read");
    const transport = createGrpcTransport({ baseUrl: service.internalUrl });
    replica = new PrivacyReplica({
      transport,
      token: () => token,
      // On a busy machine the replica may be old for a moment.
      maxStalenessMs: 60_000,
    });
    await replica.ready();
    stored = await storeVectors(service, vectors, 0n);
    const [first = expect.fail("no vectors")] = stored;
    const access = createClient(AccessService, transport);
    const { consistencyToken } = await access.checkAccess(checkOf(first), await service.acting());
    await replica.waitFor(consistencyToken, AbortSignal.timeout(60_000));
  });
  after(async () => {
    await replica?.close();
    await service?.stop(1_000);
  });

  const queryOf = ({ vector, viewer, owner }: StoredVector) => ({
    viewer: { signed_in: viewer, signed_out: null, self: owner }[vector.viewer],
    owner,
    interaction: vector.interaction,
  });

  /** Expects the answers of the vectors; a failure names those that differ. */
  function compare(answers: readonly { effect: string; cause: string | null }[]): void {
    expect(answers).to.have.length.above(400);
    const wrong = vectors.flatMap(({ name, effect, cause }, i) =>
      answers[i]?.effect === effect && answers[i]?.cause === cause ? [] : [name],
    );
    if (wrong.length > 0) expect.fail(wrong.join("\n"));
  }

  it("that follows the service is what it decides", () => {
    compare(stored.map((one) => replica.check(queryOf(one))));
  });

  it("that asks the service is what it answers", async () => {
    const { askedTotal } = replica.metrics;
    compare(await inGroups(stored, (one) => replica.checkOrAsk(queryOf(one), { maxStalenessMs: 0 })));
    expect(replica.metrics.askedTotal - askedTotal).to.equal(vectors.length);
  });
});
