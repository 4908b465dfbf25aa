import { expect } from "chai";
import fc from "fast-check";
import {
  type AccessQuery,
  type Decision,
  decideAccess,
  decisionTable,
  type Interaction,
} from "../../src/domain/access.ts";
import type { Change } from "../../src/domain/changes.ts";
import { audiences, defaultAudience, privacySettings } from "../../src/domain/settings.ts";
import type { UserId } from "../../src/domain/users.ts";
import { RelationshipGraph } from "../../src/graph/relationship-graph.ts";
import { changes, colliding, idOf, seeded } from "../unit/graph/support.ts";
import { runs } from "./runs.ts";

const interactions = Object.keys(decisionTable) as Interaction[];

/** What a graph holds, as the plainest code keeps it. */
class PlainGraph {
  readonly known = new Set<UserId>();
  readonly #holds = new Map<string, { owner: UserId; target: UserId; change: Change }>();

  apply(change: Change): void {
    if (change.kind === "user") {
      if (change.present) this.known.add(change.owner);
      else this.#erase(change.owner);
      return;
    }
    const target = "target" in change ? change.target : change.owner;
    const key = [change.kind, change.owner, target, "setting" in change ? change.setting : ""].join();
    const holds = "edge" in change ? change.edge !== null : "audience" in change || change.present;
    if (holds) this.#holds.set(key, { owner: change.owner, target, change });
    else this.#holds.delete(key);
  }

  #erase(user: UserId): void {
    this.known.delete(user);
    for (const [key, { owner, target }] of this.#holds)
      if (owner === user || target === user) this.#holds.delete(key);
  }

  get edges(): number {
    return [...this.#holds.values()].filter(({ change }) => "edge" in change).length;
  }

  decide(query: AccessQuery, now: number): Decision {
    const { viewer, owner } = query;
    const rule = decisionTable[query.interaction];
    const find = (kind: string, by: UserId | null, to: UserId | null, setting: string | null = "") =>
      this.#holds.get([kind, by, to, setting].join())?.change;
    const edge = (kind: string, by: UserId | null, to: UserId | null, scope = -1) => {
      const found = find(kind, by, to);
      if (found === undefined || !("edge" in found) || found.edge === null) return false;
      const { expiresAt, scopes } = found.edge;
      return (scopes & scope) !== 0 && (expiresAt === null || expiresAt > BigInt(now));
    };
    const chosen = find("setting", owner, owner, rule.audience);
    return decideAccess(query, {
      known: this.known.has(owner) && (viewer === null || this.known.has(viewer)),
      blocking: edge("block", viewer, owner),
      blockedBy: edge("block", owner, viewer),
      muting: edge("mute", viewer, owner, rule.muteScope),
      audience: (chosen?.kind === "setting" ? chosen.audience : null) ?? defaultAudience,
      contact: edge("follow", owner, viewer),
      excepted: find("exception", owner, viewer, rule.audience) !== undefined,
    });
  }
}

const start = 1_780_000_000_000_000;

/** A change, and how the time goes on before it. */
const stepOf = (users: number) => {
  const user = fc.nat(users - 1).map(idOf);
  const kind = fc.constantFrom("block" as const, "mute" as const, "follow" as const);
  const setting = fc.constantFrom(...privacySettings);
  const expiresAt = fc.option(fc.integer({ min: -2, max: 30 }).map((after) => BigInt(start + after)));
  const terms = fc.record({ expiresAt, scopes: fc.constantFrom(-1, -1, 1, 2, 3) });
  const change = fc.oneof(
    { weight: 6, arbitrary: fc.tuple(kind, user, user).map((edge) => changes.edge(...edge)) },
    {
      weight: 4,
      arbitrary: fc
        .tuple(fc.constantFrom("block" as const, "mute" as const), user, user, terms)
        .map((edge) => changes.edge(...edge)),
    },
    { weight: 5, arbitrary: fc.tuple(kind, user, user).map((edge) => changes.noEdge(...edge)) },
    {
      weight: 4,
      arbitrary: fc
        .tuple(user, setting, fc.option(fc.constantFrom(...audiences)))
        .map((choice) => changes.setting(...choice)),
    },
    {
      weight: 4,
      arbitrary: fc.tuple(user, setting, user, fc.boolean()).map((entry) => changes.exception(...entry)),
    },
    { weight: 3, arbitrary: user.map((id) => changes.user(id)) },
    { weight: 2, arbitrary: user.map((id) => changes.user(id, false)) },
  );
  return fc.record({ change, passes: fc.constantFrom(0, 0, 0, 1, 3) });
};

/** Applies changes to both, and compares every decision about the users of each change, and in the end all decisions. */
function compare(
  graph: RelationshipGraph,
  users: number,
  steps: readonly { change: Change; passes: number }[],
): void {
  const plain = new PlainGraph();
  const everyone = Array.from({ length: users }, (_, user) => idOf(user));
  let now = start;
  const ask = (viewer: UserId | null, owner: UserId) => {
    const queries = interactions.map((interaction) => ({ viewer, owner, interaction }));
    const together = graph.decideAll(queries, now);
    for (const [n, query] of queries.entries()) {
      const expected = plain.decide(query, now);
      for (const decision of [graph.decide(query, now), together[n]]) {
        // A million times: an assertion takes much longer than a decision.
        if (decision?.effect !== expected.effect || decision.cause !== expected.cause)
          expect({ query, now, decision }).to.eql({ query, now, decision: expected });
      }
    }
  };
  for (const { change, passes } of steps) {
    now += passes;
    graph.apply(change);
    plain.apply(change);
    const other = "target" in change ? change.target : idOf(0);
    ask(change.owner, other);
    ask(other, change.owner);
  }
  for (const owner of everyone) for (const viewer of [...everyone, null]) ask(viewer, owner);
  expect(graph.size.users).to.equal(plain.known.size);
  expect(graph.size.edges).to.be.at.least(plain.edges);
}

describe("the relationship graph in memory, compared with the plainest one", () => {
  const hashes = fc.oneof(fc.integer().map(seeded), fc.constant(colliding));

  for (const { users, steps, usual } of [
    { users: 5, steps: 200, usual: 40 },
    { users: 30, steps: 1_000, usual: 6 },
  ])
    it(`decides the same about ${users} users after ${steps} changes`, () => {
      const history = fc.array(stepOf(users), { minLength: steps / 2, maxLength: steps, size: "max" });
      fc.assert(
        fc.property(history, hashes, fc.constantFrom(1, 4, 32), (changes, randomize, segmentEntries) =>
          compare(new RelationshipGraph({ randomize, segmentEntries }), users, changes),
        ),
        runs(usual),
      );
    }).timeout(120_000);
});
