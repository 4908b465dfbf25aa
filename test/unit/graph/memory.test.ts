import { expect } from "chai";
import { RelationshipGraph } from "../../../src/graph/relationship-graph.ts";
import { changes, idOf, seeded } from "./support.ts";

const users = 500;
const edges = 4_000;
const segmentEntries = 64;

/** A pair of users that depends on a number alone. */
const pairOf = (edge: number) => {
  const mixed = Math.imul(edge ^ (edge >>> 7), 0x2c1b3c6d);
  return [idOf((mixed >>> 16) % users), idOf((Math.imul(mixed, 0x297a2d39) >>> 16) % users)] as const;
};

function fill(): RelationshipGraph {
  const graph = new RelationshipGraph({ segmentEntries, randomize: seeded(1) });
  for (let user = 0; user < users; user++) graph.apply(changes.user(idOf(user)));
  for (let edge = 0; edge < edges; edge++) graph.apply(changes.edge("follow", ...pairOf(edge)));
  return graph;
}

/** The size of a graph without what an empty one has. */
const bytesIn = (graph: RelationshipGraph) => graph.size.bytes - new RelationshipGraph().size.bytes;

describe("the memory of the relationship graph", () => {
  it("is at most 24 bytes an edge with a user for every five edges", () => {
    const graph = new RelationshipGraph();
    for (let user = 0; user < 10_000; user++) graph.apply(changes.user(idOf(user)));
    for (let edge = 0; edge < 50_000; edge++) {
      const [owner, target] = [edge % 10_000, (edge * 13 + 7 + Math.floor(edge / 10_000)) % 10_000];
      graph.apply(changes.edge("follow", idOf(owner), idOf(target)));
    }
    expect(graph.size.edges).to.equal(50_000);
    expect(bytesIn(graph) / graph.size.edges).to.be.below(24);
  });

  it("stays the same while edges come and go", () => {
    const graph = fill();
    const before = graph.size;
    for (let edge = 0; edge < 6 * edges; edge++) {
      graph.apply(changes.noEdge("follow", ...pairOf(edge)));
      graph.apply(changes.edge("follow", ...pairOf(edge + edges)));
    }
    expect(graph.size.bytes / before.bytes).to.be.within(0.8, 1.2);
    expect(graph.size.edges / before.edges).to.be.within(0.9, 1.1);
  }).timeout(60_000);

  it("stays the same while users are erased and return with their edges, some with an end", () => {
    const graph = fill();
    const churn = (rounds: number) => {
      for (let round = 0; round < rounds; round++) {
        const user = idOf(round % 50);
        graph.apply(changes.user(user, false));
        graph.apply(changes.user(user));
        for (let other = 0; other < 20; other++) {
          graph.apply(changes.edge("mute", user, idOf(100 + other), { expiresAt: BigInt(other) }));
          graph.apply(changes.edge("block", idOf(100 + other), user, { expiresAt: BigInt(other) }));
        }
      }
    };
    churn(200);
    const before = graph.size;
    churn(1_500);
    expect(graph.size.bytes / before.bytes).to.be.within(0.7, 1.3);
    expect(graph.size.edges / before.edges).to.be.within(0.7, 1.3);
  }).timeout(60_000);

  it("goes back after all edges are gone", () => {
    const graph = fill();
    const before = bytesIn(graph);
    for (let edge = 0; edge < edges; edge++) graph.apply(changes.noEdge("follow", ...pairOf(edge)));
    expect(graph.size.edges).to.equal(0);
    expect(bytesIn(graph)).to.be.below(before / 2);
  });

  it("goes back after all users are erased", () => {
    const graph = fill();
    const before = bytesIn(graph);
    for (let user = 0; user < users; user++) graph.apply(changes.user(idOf(user), false));
    // The sweep is the work of later changes.
    for (let n = 0; n < edges; n++) graph.apply(changes.user(idOf(0)));
    expect(graph.size).to.include({ users: 1, edges: 0 });
    expect(bytesIn(graph)).to.be.below(before / 2);
  });
});
