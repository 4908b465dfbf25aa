import { expect } from "chai";
import type { AccessQuery, Decision } from "../../../src/domain/access.ts";
import type { ConsistencyToken, DatabaseState } from "../../../src/domain/consistency.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { type DecisionSource, type Freshness, GraphDecisions } from "../../../src/service/decisions.ts";

const viewer = "a11ce000-0000-4000-8000-000000000001" as UserId;
const owner = "b0b00000-0000-4000-8000-000000000002" as UserId;
const query: AccessQuery = { viewer, owner, interaction: "VIEW_CONTENT" };
const byFollows: AccessQuery = { ...query, interaction: "VIEW_STATUS" };
const [ofGraph, ofTables]: Decision[] = [
  { effect: "ALLOW", cause: null },
  { effect: "HIDE", cause: "MUTING" },
];
const stateOf = (next: bigint): DatabaseState => ({
  kind: "state",
  server: 1n,
  snapshot: { next, running: [] },
});
const [ofIndex, ofStatement] = [stateOf(5n), stateOf(9n)];
const covered: ConsistencyToken = stateOf(4n);
const newer: ConsistencyToken = stateOf(6n);
const never = new AbortController().signal;

/** How a graph stands: whether a statement can confirm it, and how old it is. */
interface Standing {
  readonly confirms: boolean;
  readonly ageMs: number;
}

/** Decisions of a graph, and of tables that are told apart by their answer. `confirmed` counts the statements. */
function decisionsOf({ confirms, ageMs }: Standing) {
  const seen = { confirmed: 0 };
  const index = {
    ageMs,
    state: ofIndex,
    includes: (token: ConsistencyToken) => token === covered,
    decideAll: (queries: readonly AccessQuery[]) =>
      queries.map(({ interaction }) => (interaction === "VIEW_STATUS" ? undefined : ofGraph)),
    confirm: async () => {
      seen.confirmed++;
      return confirms;
    },
  };
  const tables: DecisionSource = {
    decide: async (queries) => ({
      decisions: queries.map(() => ofTables as Decision),
      states: [ofStatement],
    }),
  };
  return { decisions: new GraphDecisions(index, tables), seen };
}

describe("decisions from memory", () => {
  const current: Standing = { confirms: true, ageMs: 300 };
  const cutOff: Standing = { confirms: false, ageMs: 30_000 };
  const rows: [name: string, Standing, Freshness, by: "graph" | "tables", statements: number][] = [
    ["fully consistent", current, {}, "graph", 1],
    ["fully consistent, of a graph that is behind", cutOff, {}, "tables", 1],
    ["with a token that the graph covers", current, { atLeast: covered }, "graph", 0],
    ["with a token that the graph covers, of one that is behind", cutOff, { atLeast: covered }, "graph", 0],
    ["with a token of a later state", current, { atLeast: newer }, "graph", 1],
    ["with a token of a later state, of one that is behind", cutOff, { atLeast: newer }, "tables", 1],
    [
      "with a token, of a graph older than a minute",
      { confirms: false, ageMs: 60_001 },
      { atLeast: covered },
      "tables",
      1,
    ],
    ["as stale as the graph is", cutOff, { maxStalenessMs: 30_000 }, "graph", 0],
    ["less stale than the graph is", cutOff, { maxStalenessMs: 29_999 }, "tables", 1],
    ["not stale at all", current, { maxStalenessMs: 0 }, "graph", 1],
    [
      "of a graph that says nothing",
      { confirms: false, ageMs: Number.POSITIVE_INFINITY },
      { maxStalenessMs: 60_000 },
      "tables",
      1,
    ],
  ];

  for (const [name, standing, freshness, by, statements] of rows)
    it(`${name}: by the ${by}, after ${statements} statements`, async () => {
      const { decisions, seen } = decisionsOf(standing);
      const found = await decisions.decide([query, query], freshness, never);
      const decision = by === "graph" ? ofGraph : ofTables;
      expect(found.decisions).to.eql([decision, decision]);
      expect(found.states).to.eql([by === "graph" ? ofIndex : ofStatement]);
      expect(seen.confirmed).to.equal(statements);
    });

  it("leave what they cannot decide to the tables, in its place", async () => {
    const { decisions } = decisionsOf(current);
    const found = await decisions.decide([query, byFollows, query], {}, never);
    expect(found.decisions).to.eql([ofGraph, ofTables, ofGraph]);
    expect(found.states).to.eql([ofIndex, ofStatement]);
  });
});
