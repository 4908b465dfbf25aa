import type { AccessQuery, Interaction } from "../../src/domain/access.ts";
import { decisionTable } from "../../src/domain/access.ts";
import { allScopes, type Change } from "../../src/domain/changes.ts";
import { privacySettings } from "../../src/domain/settings.ts";
import { RelationshipGraph } from "../../src/graph/relationship-graph.ts";
import { DrawnEdges, draw, drawnNow, idBytes } from "./data/drawn-edges.ts";
import { batchSize, timeBatches } from "./harness/batches.ts";

/** What was measured, by name. */
export type Figures = Record<string, string>;

const [edgeCount = 0, changeCount = edgeCount] = process.argv.slice(2).map(Number);
const edges = new DrawnEdges(edgeCount);
const { users: userCount, ids } = edges;
const mostWatched = 1_000_000;
const figures: Figures = {};
const base = { version: 0n, cause: null, changedAt: null };

function memory(): number {
  global.gc?.();
  global.gc?.();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + Math.max(external, arrayBuffers);
}

/** The processor time of this thread in microseconds: unlike the clock, it does not count what others run meanwhile. */
function processorTime(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

/** Runs something for each index, and notes the time of one run. */
function timeAll(name: string, count: number, run: (index: number) => void): void {
  const startedAt = processorTime();
  for (let index = 0; index < count; index++) run(index);
  figures[name] = `${((processorTime() - startedAt) / count).toFixed(2)} µs`;
}

/** Notes the time of one run of something, in batches: quartiles and median. */
async function noteBatches(
  name: string,
  batches: number,
  prepare: (batch: number) => (index: number) => void,
): Promise<void> {
  const { lower, median, upper } = await timeBatches(batches, prepare);
  figures[name] = `${[lower, median, upper].map((micros) => micros.toFixed(2)).join(", ")} µs`;
}

function addUser(graph: RelationshipGraph, user: number): void {
  graph.addUser(ids, user * idBytes);
}

function addEdge(graph: RelationshipGraph, edge: number): void {
  const [owner, target] = [edges.ownerOf(edge) * idBytes, edges.targetOf(edge) * idBytes];
  graph.addEdge(edges.kindOf(edge), ids, owner, target, edges.endOf(edge), allScopes);
}

/**
 * Notes the longest call of a load and of erasures. It is done three times in the same way, and the shortest time of each
 * call counts: what takes long because of other programs, or of garbage of this one, does so once.
 */
function measureLongest(): void {
  // No part of the graph is larger when it has more edges.
  const watched = Math.min(edgeCount, mostWatched);
  const users = watched / 5;
  const calls = new Float32Array(users + watched + users / 100).fill(Number.POSITIVE_INFINITY);
  for (let round = 0; round < 3; round++) {
    // Collections of garbage come at other calls in each round.
    Array.from({ length: round * 50_000 }, (_, n) => ({ n }));
    const discarded = new RelationshipGraph({ randomize: fill });
    for (let call = 0; call < calls.length; call++) {
      const startedAt = performance.now();
      if (call < users) addUser(discarded, call);
      else if (call < users + watched) addEdge(discarded, call - users);
      else
        discarded.apply({
          ...base,
          kind: "user",
          owner: edges.idOf(call - users - watched),
          present: false,
        });
      calls[call] = Math.min(calls[call] ?? 0, performance.now() - startedAt);
    }
  }
  const longest = (from: number, to: number) => {
    const sorted = calls.slice(from, to).sort();
    const over = sorted.length - sorted.findIndex((ms) => ms > 0.5);
    const count = over > sorted.length ? 0 : over;
    return `${(sorted.at(-1) ?? 0).toFixed(2)} ms (${count} over 0.5 ms)`;
  };
  figures["longest: a user"] = longest(0, users);
  figures["longest: an edge"] = longest(users, users + watched);
  figures["longest: an erasure"] = longest(users + watched, calls.length);
}

/** Hashes that are the same in each round. */
function fill(words: Int32Array): void {
  for (let index = 0; index < words.length; index++) words[index] = draw(index, 11, 2 ** 32);
}

measureLongest();

const memoryBefore = memory();
const graph = new RelationshipGraph();
timeAll("load: a user", userCount, (user) => addUser(graph, user));
timeAll("load: an edge", edgeCount, (edge) => addEdge(graph, edge));
for (let user = 0; user < userCount; user += 10)
  graph.addSetting(ids, user * idBytes, privacySettings[user % 5] ?? "status", "contact_blacklist");

const used = memory() - memoryBefore;
figures["memory, all included, an edge"] = `${(used / graph.size.edges).toFixed(2)} bytes`;
figures["arrays, an edge"] = `${(graph.size.bytes / graph.size.edges).toFixed(2)} bytes`;

const interactions = Object.keys(decisionTable) as Interaction[];
let denied = 0;
const check = (query: AccessQuery | undefined) => {
  if (query !== undefined && graph.decide(query, drawnNow)?.effect === "DENY") denied++;
};
/** Queries with texts that are made for them, as those of a request are. */
const queriesOf = (batch: number, users: number): AccessQuery[] =>
  Array.from({ length: batchSize }, (_, index) => {
    const n = batch * batchSize + index;
    return {
      viewer: edges.idOf(draw(n, 7, users)),
      owner: edges.idOf(draw(n, 8, users)),
      interaction: interactions[n % interactions.length] as Interaction,
    };
  });
await noteBatches("check, random pairs", 2_000, (batch) => {
  const queries = queriesOf(batch, userCount);
  return (index) => check(queries[index]);
});
await noteBatches("check, pairs of a hundred users", 2_000, (batch) => {
  const queries = queriesOf(batch, 100);
  return (index) => check(queries[index]);
});
await noteBatches("filter of 1,000 owners, an owner", 2_000, (batch) => {
  const [{ viewer }] = queriesOf(batch, userCount) as [AccessQuery];
  const queries = queriesOf(batch, userCount).map((query) => ({ ...query, viewer }));
  return (index) => check(queries[index]);
});
await timeReads();
/** Notes what one read of memory takes whose place is known only after the one before. */
async function timeReads(): Promise<void> {
  const memory = new Int32Array(2 ** 26).fill(1);
  await noteBatches("for comparison: a read at random of 256 MB", 1_000, (batch) => {
    let at = draw(batch, 12, memory.length);
    return (index) => {
      at = (Math.imul(at, 31) + index * 7_919_777 + (memory[at] ?? 0)) & (memory.length - 1);
    };
  });
}

const change = (edge: number, holds: boolean): Change => ({
  ...base,
  kind: edges.kindOf(edge),
  owner: edges.idOf(edges.ownerOf(edge)),
  target: edges.idOf(edges.targetOf(edge)),
  edge: holds ? { createdAt: 0n, expiresAt: null, scopes: allScopes } : null,
});

const before = graph.size;
const rssBefore = process.memoryUsage().rss;
await noteBatches("a change", changeCount / batchSize, (batch) => {
  // Each edge that ends makes room for a new one.
  const changes = Array.from({ length: batchSize }, (_, index) => {
    const n = batch * batchSize + index;
    return change(n % 2 === 0 ? n >> 1 : edgeCount + (n >> 1), n % 2 === 1);
  });
  return (index) => graph.apply(changes[index] as Change);
});
figures["arrays after the changes"] = `${(graph.size.bytes / before.bytes).toFixed(3)} of before`;
figures["resident memory after the changes"] =
  `${((process.memoryUsage().rss - rssBefore) / 2 ** 20).toFixed(0)} MB more`;
figures["memory after the changes"] = `${((memory() - memoryBefore) / used).toFixed(3)} of before`;
process.stdout.write(JSON.stringify(figures));
if (denied === 0) process.exitCode = 1;
