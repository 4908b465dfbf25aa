import { createRouterTransport } from "@connectrpc/connect";
import { expect } from "chai";
import { ChangeService } from "../../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { changesOf } from "../../../scripts/decision-vectors.ts";
import { PrivacyReplica } from "../../../src/client/replica.ts";
import type { UserId } from "../../../src/domain/users.ts";
import type { ChangeCursors } from "../../../src/service/change-cursor.ts";
import { ChangeMessages } from "../../../src/service/change-messages.ts";
import { fromMicros } from "../../../src/service/proto-mapping.ts";
import { readDecisionTable } from "../../support/decision-vectors.ts";

const { vectors } = readDecisionTable();
/** The time of the decisions, in microseconds since 1970. */
const now = 1_800_000_000_000_000n;

/** A vector with users of its own. */
const asked = vectors.map((vector, number) => {
  const id = (part: number) =>
    `${String(number).padStart(8, "0")}-0000-4000-8000-00000000000${part}` as UserId;
  const [someone, owner] = [id(1), id(2)];
  const viewer = { signed_in: someone, signed_out: null, self: owner }[vector.viewer];
  return { vector, someone, owner, viewer };
});

/** The service whose state has the facts of all vectors at the time of the decisions. */
function serviceOfVectors() {
  const messages = new ChangeMessages({ write: () => "a cursor" } as unknown as ChangeCursors);
  const snapshot = asked.flatMap(({ vector, someone, owner }) =>
    changesOf(vector.facts, { viewer: someone, owner, now }),
  );
  const cursor = {} as Parameters<typeof messages.write>[1]["cursor"];
  return createRouterTransport(({ service }) => {
    service(ChangeService, {
      async *watchChanges(_, { signal }) {
        yield messages.write(snapshot, { cursor, complete: true, through: now });
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
      readChanges: () => ({ readAt: fromMicros(now) }),
    });
  });
}

describe("a replica", () => {
  let replica: PrivacyReplica;
  before(async () => {
    replica = new PrivacyReplica({
      transport: serviceOfVectors(),
      token: () => "a token",
      maxStalenessMs: Number.POSITIVE_INFINITY,
    });
    await replica.ready();
  });
  after(() => replica?.close());

  /** Expects the answers of the vectors; a failure names those that differ. */
  function compare(answer: (one: (typeof asked)[number]) => string): void {
    const wrong = asked.flatMap((one) => {
      const { name, effect, cause } = one.vector;
      const found = answer(one);
      return found === `${effect} ${cause}` ? [] : [`${name}: ${found}, not ${effect} ${cause}`];
    });
    if (wrong.length > 0) expect.fail(wrong.join("\n"));
  }

  it("decides every vector of the decision table as it says", () => {
    compare(({ vector: { interaction }, viewer, owner }) => {
      const { effect, cause } = replica.check({ viewer, owner, interaction });
      return `${effect} ${cause}`;
    });
  });

  it("explains every vector so", () => {
    compare(({ vector, viewer, owner }) => {
      const { decisions } = replica.explain(viewer, owner);
      const found = decisions.find(({ interaction }) => interaction === vector.interaction);
      return `${found?.effect} ${found?.cause}`;
    });
  });

  it("lets through what a vector allows", () => {
    for (const { vector, viewer, owner } of asked)
      expect(replica.filter(viewer, [owner], vector.interaction).ownerIds, vector.name).to.eql(
        vector.effect === "ALLOW" ? [owner] : [],
      );
  });
});
