import { create } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { expect } from "chai";
import {
  BatchCheckAccessRequestSchema,
  Cause,
  CheckAccessRequestSchema,
  ConsistencySchema,
  Effect,
  FilterUsersRequestSchema,
  Interaction,
} from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import type { ConsistencyToken, DatabaseState } from "../../../src/domain/consistency.ts";
import { PrivacyError } from "../../../src/domain/errors.ts";
import { accessHandlers } from "../../../src/service/access.ts";
import { CheckBatcher, type ReadBatch } from "../../../src/service/check-batcher.ts";
import { ConsistencyTokens } from "../../../src/service/consistency-tokens.ts";
import { ConsistentReads } from "../../../src/service/consistent-reads.ts";
import { type DecisionSource, TableDecisions } from "../../../src/service/decisions.ts";
import type { FactsOfState, FactsQuery } from "../../../src/store/access.ts";

const viewer = { case: "viewerId" as const, value: "a11ce000-0000-4000-8000-000000000001" };
const ownerId = "b0b00000-0000-4000-8000-000000000002";
const interaction = Interaction.VIEW_PROFILE;
const check = { viewer, ownerId, interaction };

const limits = { batchSize: 10, largeCalls: 1, maxPending: 1_000 };

const state: DatabaseState = { kind: "state", server: 1n, snapshot: { next: 1_000n, running: [] } };
const tokens = new ConsistencyTokens(Buffer.alloc(32, 7));
const consistencyToken = tokens.write(state);
const noTokens = new ConsistentReads({
  tokens,
  reader: { isSatisfied: () => Promise.reject(new Error("asked")) },
  onUnmet: () => {},
});

const innocent: FactsOfState = {
  state,
  known: true,
  blocking: false,
  blockedBy: false,
  muting: false,
  audience: "all",
  contact: true,
  excepted: false,
};

/** Decides by what a database answers. */
function byTables(read: ReadBatch<FactsQuery, FactsOfState>): TableDecisions {
  return new TableDecisions(new CheckBatcher(read, limits));
}

/** What each method makes of a database that answers so: its answer, or what it rejects with. */
async function answers(read: ReadBatch<FactsQuery, FactsOfState>): Promise<unknown[]> {
  const handlers = accessHandlers(byTables(read), noTokens);
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
      { $typeName: "nexgate.privacy.v1.CheckAccessResponse", ...allow, consistencyToken },
      { results: [allow, allow], consistencyToken },
      { ownerIds: [ownerId, ownerId], consistencyToken },
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
      byTables(async (queries) => {
        asked.push(...queries);
        return queries.map(() => innocent);
      }),
      noTokens,
    );
    const context = { signal: new AbortController().signal } as HandlerContext;
    for (const interaction of [
      Interaction.FOLLOW,
      Interaction.VIEW_CONTENT,
      Interaction.RECEIVE_NOTIFICATION,
      Interaction.ADD_TO_GROUP,
    ])
      await handlers.checkAccess(create(CheckAccessRequestSchema, { ...check, interaction }), context);
    expect(asked.map(({ muteScope, setting }) => [muteScope, setting])).to.eql([
      [0, null],
      [1, null],
      [2, null],
      [0, "groups"],
    ]);
  });
});

describe("the access handlers, asked for a state that is at least as fresh as a token", () => {
  const context = { signal: new AbortController().signal } as HandlerContext;
  const write: ConsistencyToken = { kind: "write", server: 1n, xid: 999n, at: 5n };
  const before: ConsistencyToken = { ...write, server: 0n };

  /** Answers a call, and counts what it looked for and what it missed. */
  async function ask(token: string, isSatisfied = true) {
    const seen = { asked: [] as ConsistencyToken[], unmet: 0 };
    const handlers = accessHandlers(
      byTables(async (queries) => queries.map(() => innocent)),
      new ConsistentReads({
        tokens,
        reader: {
          isSatisfied: async (asked) => {
            seen.asked.push(asked);
            return isSatisfied;
          },
        },
        onUnmet: () => {
          seen.unmet += 1;
        },
      }),
    );
    const consistency = create(ConsistencySchema, {
      requirement: { case: "atLeastAsFresh", value: token },
    });
    const request = create(CheckAccessRequestSchema, { ...check, consistency });
    const { effect } = await handlers.checkAccess(request, context);
    expect(effect).to.equal(1);
    return seen;
  }

  it("look for nothing that the decision's own state includes", async () => {
    expect(await ask(tokens.write(write))).to.eql({ asked: [], unmet: 0 });
    expect(await ask(consistencyToken)).to.eql({ asked: [], unmet: 0 });
  });

  it("look for the rows of a write from before the server was started, and count it when they are missing", async () => {
    expect(await ask(tokens.write(before), true)).to.eql({ asked: [before], unmet: 0 });
    expect(await ask(tokens.write(before), false)).to.eql({ asked: [before], unmet: 1 });
  });

  it("cannot tell whether a state of another server was lost", async () => {
    expect(await ask(tokens.write({ ...state, server: 0n }))).to.eql({ asked: [], unmet: 0 });
  });

  it("refuse a forged token", async () => {
    const failure = await ask("A".repeat(102)).catch((reason: unknown) => reason);
    expect(failure).to.be.instanceOf(PrivacyError).with.property("reason", "INVALID_CONSISTENCY_TOKEN");
  });

  it("answer no token when the decisions rest on states of two servers, or on none", async () => {
    const source: DecisionSource = {
      decide: async (queries) => ({
        decisions: queries.map(() => ({ effect: "ALLOW", cause: null })),
        states: queries.map((_, n) => ({ ...state, server: BigInt(n) })),
      }),
    };
    const handlers = accessHandlers(source, noTokens);
    for (const [ownerIds, expected] of [
      [[ownerId], /^[\w-]{102}$/],
      [[ownerId, ownerId], /^$/],
      [[], /^$/],
    ] as const) {
      const request = create(FilterUsersRequestSchema, { viewer, ownerIds: [...ownerIds], interaction });
      expect((await handlers.filterUsers(request, context)).consistencyToken).to.match(expected);
    }
  });

  it("refuse a consistency of a single check of a batch", () => {
    const handlers = accessHandlers(
      byTables(async () => []),
      noTokens,
    );
    const consistency = create(ConsistencySchema, { requirement: { case: "fullyConsistent", value: true } });
    const request = create(BatchCheckAccessRequestSchema, { checks: [{ ...check, consistency }] });
    expect(() => handlers.batchCheckAccess(request, context)).to.throw(PrivacyError, "for the whole batch");
  });

  it("answer each check by its own decision and token, though replies are shared", async () => {
    const states = [1n, 2n].map((server) => ({ ...state, server })) as [DatabaseState, DatabaseState];
    const decided = [
      { decision: { effect: "DENY", cause: "BLOCKING" }, state: states[0] },
      { decision: { effect: "DENY", cause: "BLOCKED_BY" }, state: states[0] },
      { decision: { effect: "HIDE", cause: "MUTING" }, state: states[0] },
      { decision: { effect: "DENY", cause: "BLOCKING" }, state: states[1] },
      { decision: { effect: "DENY", cause: "BLOCKING" }, state: states[0] },
    ] as const;
    let asked = 0;
    const source: DecisionSource = {
      decide: async () => {
        const { decision, state: of } = decided[asked++ % decided.length] as (typeof decided)[number];
        return { decisions: [decision], states: [of] };
      },
    };
    const handlers = accessHandlers(source, noTokens);
    const request = create(CheckAccessRequestSchema, check);
    for (const { decision, state: of } of [...decided, ...decided]) {
      const { effect, cause, consistencyToken: token } = await handlers.checkAccess(request, context);
      expect([effect, cause]).to.eql([Effect[decision.effect], Cause[decision.cause]]);
      expect(tokens.read(token ?? "")).to.eql(of);
    }
  });
});
