import { expect } from "chai";
import type { Interaction } from "../../../src/domain/access.ts";
import { type Change, type EdgeChange, muteScopes } from "../../../src/domain/changes.ts";
import type { Audience, PrivacySetting } from "../../../src/domain/settings.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { RelationshipGraph } from "../../../src/graph/relationship-graph.ts";
import { bytesOf, changes, idOf } from "./support.ts";

/** What happens, with users of one letter, then a question and its answer: `@` is the time, `nobody` is signed out. */
const cases = `
known a, known b                                            | a VIEW_STATUS b @1       | ALLOW null
known a                                                     | a VIEW_STATUS b @1       | DENY UNKNOWN_USER
known b                                                     | a VIEW_STATUS b @1       | DENY UNKNOWN_USER
known b                                                     | nobody VIEW_STATUS b @1  | ALLOW null
known b                                                     | nobody FOLLOW b @1       | DENY SIGNED_OUT
nothing                                                     | nobody VIEW_STATUS b @1  | DENY UNKNOWN_USER
known a                                                     | a VIEW_STATUS a @1       | ALLOW SELF
nothing                                                     | a VIEW_STATUS a @1       | DENY UNKNOWN_USER
known a, a audience none                                    | a VIEW_STATUS a @1       | ALLOW SELF
known a, known b, a block b                                 | a FOLLOW b @1            | DENY BLOCKING
known a, known b, a block b                                 | b FOLLOW a @1            | DENY BLOCKED_BY
a block b, known a, known b                                 | a FOLLOW b @1            | DENY BLOCKING
known a, known b, a block b, a block b, a unblock b         | a FOLLOW b @1            | ALLOW null
known a, known b, a block b, b unblock a                    | a FOLLOW b @1            | DENY BLOCKING
known a, known b, a block b until 5                         | a FOLLOW b @4            | DENY BLOCKING
known a, known b, a block b until 5                         | a FOLLOW b @5            | ALLOW null
known a, known b, a block b until 5                         | b FOLLOW a @4            | DENY BLOCKED_BY
known a, known b, a block b until 5                         | b FOLLOW a @5            | ALLOW null
known a, known b, a block b until 5, a block b until 9      | a FOLLOW b @5            | DENY BLOCKING
known a, known b, a block b until 5, a block b              | a FOLLOW b @9            | DENY BLOCKING
known a, known b, a block b, a block b until 5              | a FOLLOW b @9            | ALLOW null
known a, known b, a block b until 5, a unblock b, a block b | a FOLLOW b @9            | DENY BLOCKING
known a, known b, a block b until 1780000000000001          | a FOLLOW b @1780000000000000 | DENY BLOCKING
known a, known b, a block b until 1780000000000001          | a FOLLOW b @1780000000000001 | ALLOW null
known a, known b, a block b until -5                        | a FOLLOW b @1780000000000000 | ALLOW null
known a, known b, a mute b                                  | a VIEW_CONTENT b @1      | HIDE MUTING
known a, known b, a mute b                                  | b VIEW_CONTENT a @1      | ALLOW null
known a, known b, a mute b                                  | a FOLLOW b @1            | ALLOW null
known a, known b, a mute b content                          | a VIEW_CONTENT b @1      | HIDE MUTING
known a, known b, a mute b content                          | a RECEIVE_NOTIFICATION b @1 | ALLOW null
known a, known b, a mute b content until 5                  | a VIEW_CONTENT b @4      | HIDE MUTING
known a, known b, a mute b content until 5                  | a VIEW_CONTENT b @5      | ALLOW null
known a, known b, a mute b content, a mute b                | a RECEIVE_NOTIFICATION b @1 | HIDE MUTING
known a, known b, a mute b until 5, a unmute b, a mute b    | a VIEW_CONTENT b @9      | HIDE MUTING
known a, known b, b audience contacts                       | a VIEW_STATUS b @1       | DENY AUDIENCE
known a, known b, b audience contacts                       | a VIEW_LAST_SEEN b @1    | ALLOW null
known a, known b, b audience contacts                       | nobody VIEW_STATUS b @1  | DENY AUDIENCE
known a, known b, b audience contacts, a follow b           | a VIEW_STATUS b @1       | DENY AUDIENCE
b audience contacts, b follow a, known a, known b           | a VIEW_STATUS b @1       | ALLOW null
known a, known b, b audience contacts, b audience unset     | a VIEW_STATUS b @1       | ALLOW null
known a, known b, b audience contact_blacklist, b follow a  | a VIEW_STATUS b @1       | ALLOW null
known a, known b, b audience contact_blacklist, b follow a, b except a | a VIEW_STATUS b @1 | DENY AUDIENCE
known a, known b, b audience contact_blacklist, b follow a, b except a, b unexcept a | a VIEW_STATUS b @1 | ALLOW null
known a, known b, b audience future                         | a VIEW_STATUS b @1       | DENY AUDIENCE
known a, known b, a block b, erased b, known b              | a FOLLOW b @1            | ALLOW null
known a, known b, a block b, erased b                       | a FOLLOW b @1            | DENY UNKNOWN_USER
known a, known b, a block b, erased a, known a              | a FOLLOW b @1            | ALLOW null
known a, known b, a block b until 5, erased b, known b, a block b | a FOLLOW b @9      | DENY BLOCKING
known a, known b, b audience none, erased b, known b        | a VIEW_STATUS b @1       | ALLOW null
known a, known b, erased b, a block b, known b              | a FOLLOW b @1            | DENY BLOCKING
erased b, known a, known b                                  | a FOLLOW b @1            | ALLOW null
`;

function parseChange(text: string): Change[] {
  if (text === "nothing") return [];
  const [first = "", second = "", third = "", ...terms] = text.trim().split(" ");
  if (first === "known" || first === "erased") return [changes.user(idOf(second), first === "known")];
  const owner = idOf(first);
  if (second === "audience")
    return [changes.setting(owner, "status", third === "unset" ? null : (third as Audience))];
  const target = idOf(third);
  if (second.endsWith("except"))
    return [changes.exception(owner, "status", target, !second.startsWith("un"))];
  if (second.startsWith("un")) return [changes.noEdge(second.slice(2) as EdgeChange["kind"], owner, target)];
  const until = terms.indexOf("until");
  return [
    changes.edge(second as EdgeChange["kind"], owner, target, {
      ...(until >= 0 ? { expiresAt: BigInt(terms[until + 1] ?? "") } : {}),
      ...(terms.includes("content") ? { scopes: muteScopes.content } : {}),
    }),
  ];
}

function ask(graph: RelationshipGraph, question: string): string | undefined {
  const [viewer = "", interaction, owner = "", time = ""] = question.trim().split(" ");
  const decision = graph.decide(
    {
      viewer: viewer === "nobody" ? null : idOf(viewer),
      owner: idOf(owner),
      interaction: interaction as Interaction,
    },
    Number(time.slice(1)),
  );
  return decision && `${decision.effect} ${decision.cause}`;
}

describe("the relationship graph in memory", () => {
  for (const line of cases.trim().split("\n")) {
    const [history = "", question = "", answer = ""] = line.split("|").map((part) => part.trim());
    it(`decides after "${history}": ${question}`, () => {
      const graph = new RelationshipGraph();
      for (const change of history.split(", ").flatMap(parseChange)) {
        graph.apply(change);
        // Between any two changes, so that nothing found before a change is used after it.
        ask(graph, question);
      }
      expect(ask(graph, question)).to.equal(answer);
    });
  }

  it("takes the ids and terms of a loader as those of changes", () => {
    const graph = new RelationshipGraph();
    const [a, b, c] = [idOf("a"), idOf("b"), idOf("c")];
    const bytes = new Uint8Array([...bytesOf(a, 3), ...bytesOf(b), ...bytesOf(c)]);
    for (const offset of [3, 19, 35]) graph.addUser(bytes, offset);
    graph.addEdge("block", bytes, 3, 19, 5, -1);
    graph.addEdge("mute", bytes, 35, 19, Number.POSITIVE_INFINITY, muteScopes.content);
    graph.addEdge("follow", bytes, 19, 35, Number.POSITIVE_INFINITY, -1);
    graph.addSetting(bytes, 19, "status", "contact_blacklist");
    expect(graph.size).to.include({ users: 3, edges: 3 });
    expect(ask(graph, "a FOLLOW b @4")).to.equal("DENY BLOCKING");
    expect(ask(graph, "a FOLLOW b @5")).to.equal("ALLOW null");
    expect(ask(graph, "c VIEW_CONTENT b @5")).to.equal("HIDE MUTING");
    expect(ask(graph, "c RECEIVE_NOTIFICATION b @5")).to.equal("ALLOW null");
    expect(ask(graph, "c VIEW_STATUS b @5")).to.equal("ALLOW null");
    graph.addException(bytes, 19, "status", 35);
    expect(ask(graph, "c VIEW_STATUS b @5")).to.equal("DENY AUDIENCE");
  });

  it("answers all but what depends on follows when it does not keep them", () => {
    const graph = new RelationshipGraph({ follows: false });
    for (const change of "known a, known b, b follow a, b audience contacts".split(", ").flatMap(parseChange))
      graph.apply(change);
    expect(graph.size).to.include({ users: 2, edges: 0 });
    expect(ask(graph, "a VIEW_STATUS b @1")).to.equal(undefined);
    expect(ask(graph, "nobody VIEW_STATUS b @1")).to.equal("DENY AUDIENCE");
    expect(ask(graph, "b VIEW_STATUS b @1")).to.equal("ALLOW SELF");
    expect(ask(graph, "z VIEW_STATUS b @1")).to.equal("DENY UNKNOWN_USER");
    expect(ask(graph, "a VIEW_LAST_SEEN b @1")).to.equal("ALLOW null");
    expect(ask(graph, "a VIEW_CONTENT b @1")).to.equal("ALLOW null");
  });

  it("decides many queries at once as one by one", () => {
    const users = ["a", "b", "c", "d", "unknown", "z"];
    const ids = [...users.map(idOf), "no id" as UserId, idOf("a").toUpperCase() as UserId];
    const queries = [null, ...ids].flatMap((viewer) =>
      ids.flatMap((owner) =>
        (["FOLLOW", "VIEW_CONTENT", "VIEW_STATUS"] as const).map((interaction) => ({
          viewer,
          owner,
          interaction,
        })),
      ),
    );
    // Neighbours that have nothing, a viewer or an owner in common.
    const mixed = queries.map((_, n) => queries[(n * 7) % queries.length] as (typeof queries)[number]);
    const history = `known a, known b, known c, known d, a block b until 5, c mute b, b audience contacts, b follow a,
      erased b, known b, d block a, erased d`;
    for (const follows of [true, false]) {
      const graph = new RelationshipGraph({ follows });
      for (const change of history.split(/,\s+/).flatMap(parseChange)) {
        graph.apply(change);
        for (const asked of [queries, mixed, mixed.slice(0, 1), []])
          expect(graph.decideAll(asked, 4)).to.eql(asked.map((query) => graph.decide(query, 4)));
      }
    }
  });

  it("ignores the settings of a later release", () => {
    const graph = new RelationshipGraph();
    const later = "mood" as PrivacySetting;
    for (const user of ["a", "b"]) graph.apply(changes.user(idOf(user)));
    graph.apply(changes.setting(idOf("b"), "last_seen", "contact_blacklist"));
    graph.apply(changes.edge("follow", idOf("b"), idOf("a")));
    graph.apply(changes.setting(idOf("b"), later, "none"));
    graph.apply(changes.exception(idOf("b"), later, idOf("a")));
    expect(ask(graph, "a VIEW_LAST_SEEN b @1")).to.equal("ALLOW null");
  });

  it("takes nothing that is no id for a user", () => {
    const graph = new RelationshipGraph();
    const id = idOf("a");
    const bad = id.toUpperCase() as UserId;
    graph.apply(changes.user(id));
    const query = { viewer: null, owner: bad, interaction: "VIEW_STATUS" as const };
    expect(graph.decide(query, 1)).to.include({ cause: "UNKNOWN_USER" });
    expect(() => graph.apply(changes.user(bad))).to.throw("an id is no UUID in lower case");
  });

  it("counts an edge once, and users only while they are known", () => {
    const graph = new RelationshipGraph();
    const sizes = "known a, a block b, a block b until 5, b mute a, a unblock b, a unblock b, erased a"
      .split(", ")
      .map((text) => {
        for (const change of parseChange(text)) graph.apply(change);
        return `${graph.size.users} ${graph.size.edges}`;
      });
    expect(sizes).to.eql(["1 0", "1 1", "1 1", "1 2", "1 1", "1 1", "0 1"]);
  });
});
