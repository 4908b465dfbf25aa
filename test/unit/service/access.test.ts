import { create } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { expect } from "chai";
import {
  BatchCheckAccessRequestSchema,
  CheckAccessRequestSchema,
  FilterUsersRequestSchema,
  Interaction,
} from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import type { RelationshipFacts } from "../../../src/domain/access.ts";
import { accessHandlers } from "../../../src/service/access.ts";
import { CheckBatcher, type ReadBatch } from "../../../src/service/check-batcher.ts";
import type { FactsQuery } from "../../../src/store/access.ts";

const viewer = { case: "viewerId" as const, value: "a11ce000-0000-4000-8000-000000000001" };
const ownerId = "b0b00000-0000-4000-8000-000000000002";
const interaction = Interaction.VIEW_PROFILE;
const check = { viewer, ownerId, interaction };

const limits = { batchSize: 10, largeCallQuota: 10, concurrency: 1, maxPending: 1_000 };

const innocent: RelationshipFacts = {
  known: true,
  blocking: false,
  blockedBy: false,
  muting: false,
  audience: "all",
  contact: true,
  excepted: false,
};

/** What each method makes of a database that answers so: its answer, or what it rejects with. */
async function answers(read: ReadBatch<FactsQuery, RelationshipFacts>): Promise<unknown[]> {
  const handlers = accessHandlers(new CheckBatcher(read, limits));
  const context = { signal: new AbortController().signal } as HandlerContext;
  const outcomes = await Promise.allSettled([
    handlers.checkAccess(create(CheckAccessRequestSchema, check), context),
    handlers.batchCheckAccess(create(BatchCheckAccessRequestSchema, { checks: [check, check] }), context),
    handlers.filterUsers(
      create(FilterUsersRequestSchema, { viewer, ownerIds: [ownerId, ownerId], interaction }),
      context,
    ),
  ]);
  return outcomes.map((outcome) => (outcome.status === "fulfilled" ? outcome.value : outcome.reason));
}

describe("the access handlers, when the database", () => {
  it("reports nothing against it, answer ALLOW", async () => {
    const allow = { effect: 1, cause: 0 };
    expect(await answers(async (queries) => queries.map(() => innocent))).to.eql([
      allow,
      { results: [allow, allow] },
      { ownerIds: [ownerId, ownerId] },
    ]);
  });

  it("fails: no caller gets a decision", async () => {
    const failure = new Error("no connection");
    expect(await answers(() => Promise.reject(failure))).to.eql([failure, failure, failure]);
  });

  for (const [what, count] of [
    ["too little", -1],
    ["too much", 1],
    ["nothing", -3],
  ] as const) {
    it(`answers ${what}: no caller gets a decision`, async () => {
      const found = await answers(async (queries) =>
        Array.from({ length: Math.max(0, queries.length + count) }, () => innocent),
      );
      for (const failure of found) expect(failure).to.be.instanceOf(Error);
    });
  }

  it("is read for an interaction, request only the facts that it needs", async () => {
    const asked: FactsQuery[] = [];
    const handlers = accessHandlers(
      new CheckBatcher(async (queries) => {
        asked.push(...queries);
        return queries.map(() => innocent);
      }, limits),
    );
    const context = { signal: new AbortController().signal } as HandlerContext;
    for (const interaction of [Interaction.FOLLOW, Interaction.VIEW_CONTENT, Interaction.ADD_TO_GROUP])
      await handlers.checkAccess(create(CheckAccessRequestSchema, { ...check, interaction }), context);
    expect(asked.map(({ mute, setting }) => [mute, setting])).to.eql([
      [false, null],
      [true, null],
      [false, "groups"],
    ]);
  });
});
