import { expect } from "chai";
import fc from "fast-check";
import { decisionTable, type Interaction } from "../../../src/domain/access.ts";
import type { Change } from "../../../src/domain/changes.ts";
import { audiences, privacySettings } from "../../../src/domain/settings.ts";
import { RelationshipGraph } from "../../../src/graph/relationship-graph.ts";
import { GraphJournal } from "../../../src/service/graph-journal.ts";
import { changes, idOf } from "../graph/support.ts";

const users = 4;
const ids = Array.from({ length: users }, (_, user) => idOf(user));
const interactions = Object.keys(decisionTable) as Interaction[];
const now = 1_780_000_000_000_000;

const user = fc.constantFrom(...ids);
const kind = fc.constantFrom("block" as const, "mute" as const, "follow" as const);
const setting = fc.constantFrom(...privacySettings);
const terms = fc.record({
  expiresAt: fc.constantFrom(null, BigInt(now - 1), BigInt(now + 1)),
  scopes: fc.constantFrom(-1, 1, 2),
});
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(kind, user, user).map((edge) => changes.edge(...edge)),
  fc
    .tuple(fc.constantFrom("block" as const, "mute" as const), user, user, terms)
    .map((edge) => changes.edge(...edge)),
  fc.tuple(kind, user, user).map((edge) => changes.noEdge(...edge)),
  fc
    .tuple(user, setting, fc.option(fc.constantFrom(...audiences)))
    .map((choice) => changes.setting(...choice)),
  fc.tuple(user, setting, user, fc.boolean()).map((entry) => changes.exception(...entry)),
);

function decisions(graph: RelationshipGraph): string[] {
  return ids.flatMap((viewer) =>
    ids.flatMap((owner) =>
      interactions.map((interaction) => JSON.stringify(graph.decide({ viewer, owner, interaction }, now))),
    ),
  );
}

function journalOf(settled: readonly Change[]): GraphJournal {
  const journal = new GraphJournal(new RelationshipGraph());
  for (const id of ids) journal.apply(changes.user(id));
  for (const one of settled) journal.apply(one);
  journal.settle();
  return journal;
}

describe("a journal of a graph", () => {
  it("takes back what is not settled", () => {
    const history = fc.array(change, { maxLength: 30 });
    fc.assert(
      fc.property(history, history, (settled, taken) => {
        const journal = journalOf(settled);
        const before = decisions(journal.graph);
        for (const [n, one] of taken.entries()) journal.apply(one, BigInt(n));
        expect(journal.rollBack()).to.equal(true);
        expect(decisions(journal.graph)).to.eql(before);
      }),
    );
  });

  it("settles the changes of transactions that a snapshot sees, and no others", () => {
    const [a, b, c, d] = ids as [(typeof ids)[0], (typeof ids)[0], (typeof ids)[0], (typeof ids)[0]];
    const journal = journalOf([]);
    journal.apply(changes.edge("block", a, b), 5n);
    journal.apply(changes.edge("block", a, c), 6n);
    journal.apply(changes.edge("block", a, d), 7n);
    journal.settle({ next: 7n, running: [6n] });
    expect(journal.rollBack()).to.equal(true);
    const effects = [b, c, d].map(
      (owner) => journal.graph.decide({ viewer: a, owner, interaction: "MENTION" }, now)?.effect,
    );
    expect(effects).to.eql(["DENY", "ALLOW", "ALLOW"]);
  });

  it("cannot take back an erasure until it is settled", () => {
    const [a = idOf(0), b = idOf(1)] = ids;
    const journal = journalOf([changes.edge("block", a, b)]);
    journal.apply(changes.user(a, false), 5n);
    expect(journal.rollBack()).to.equal(false);
    const settled = journalOf([changes.edge("block", a, b)]);
    settled.apply(changes.user(a, false), 5n);
    settled.apply(changes.user(a), 6n);
    settled.settle({ next: 6n, running: [] });
    expect(settled.rollBack()).to.equal(true);
    expect(settled.graph.decide({ viewer: b, owner: a, interaction: "MENTION" }, now)?.cause).to.equal(
      "UNKNOWN_USER",
    );
  });
});
