import { createGrpcTransport } from "@connectrpc/connect-node";
import { PrivacyReplica } from "../../src/client/replica.ts";
import { decisionTable, type Interaction } from "../../src/domain/access.ts";
import { DrawnEdges, draw } from "./data/drawn-edges.ts";
import { batchSize, timeBatches } from "./harness/batches.ts";
import { residentMegabytes } from "./harness/machine.ts";
import type { Quartiles } from "./harness/statistics.ts";
import { argument } from "./peers/serve.ts";

// A replica in a process of its own, of the edges that `snapshot-service.ts` sends.
const baseUrl = argument(0);
const edges = new DrawnEdges(Number(argument(1)));
const batches = Number(argument(2));
const interactions = Object.keys(decisionTable) as Interaction[];
const candidates = 1_000;
const activeUsers = 10_000;

/** What was found; times in microseconds. */
export interface ReplicaFigures {
  readonly loadSeconds: number;
  readonly loadCpuMicrosOfChange: number;
  readonly graphBytesOfEdge: number;
  readonly residentMegabytes: number;
  readonly residentBytesOfEdge: number;
  readonly cold: Quartiles;
  readonly mixed: Quartiles;
  readonly warm: Quartiles;
  readonly filter: Quartiles;
}

interface Question {
  readonly viewer: string;
  readonly owner: string;
  readonly interaction: Interaction;
}

const residentBefore = residentMegabytes(process.pid);
const startedAt = performance.now();
const replica = new PrivacyReplica({
  transport: createGrpcTransport({ baseUrl }),
  token: () => "",
  // No heartbeat is handled while checks are timed.
  maxStalenessMs: 60_000,
});
await replica.ready();
const loadSeconds = (performance.now() - startedAt) / 1_000;
const { user, system } = process.cpuUsage();
const { bytes, edges: kept, changesTotal } = replica.metrics;
global.gc?.();
global.gc?.();
const resident = residentMegabytes(process.pid) - residentBefore;

let allowed = 0;
/** Times checks of questions whose texts are new, as those of a request are. */
function timeChecks(question: (n: number) => Question): Promise<Quartiles> {
  return timeBatches(batches, (batch) => {
    const questions = Array.from({ length: batchSize }, (_, index) => question(batch * batchSize + index));
    return (index) => {
      if (replica.check(questions[index] as Question).effect === "ALLOW") allowed++;
    };
  });
}

/** A random number of a user among the first ones. */
const someone = (n: number, purpose: number, users: number) => edges.idOf(draw(n, purpose, users));

/** Random pairs: nothing of them is in the processor's caches. */
const cold = (n: number): Question => ({
  viewer: someone(n, 7, edges.users),
  owner: someone(n, 8, edges.users),
  interaction: interactions[n % interactions.length] as Interaction,
});

/** Active viewers with popular owners, half of whom they have something with; most look at content. */
const mixed = (n: number): Question => {
  const edge = draw(n, 9, edges.count);
  const isPopular = n % 2 === 0;
  const popular = Math.floor(edges.users * (draw(n, 10, 2 ** 20) / 2 ** 20) ** 3);
  return {
    viewer: isPopular ? someone(n, 11, Math.min(activeUsers, edges.users)) : edges.idOf(edges.ownerOf(edge)),
    owner: edges.idOf(isPopular ? popular : edges.targetOf(edge)),
    interaction: n % 10 < 7 ? "VIEW_CONTENT" : (interactions[n % interactions.length] as Interaction),
  };
};

const warm = (n: number): Question => ({
  viewer: someone(n, 7, 100),
  owner: someone(n, 8, 100),
  interaction: interactions[n % interactions.length] as Interaction,
});

const timeFilter = () =>
  timeBatches(
    Math.ceil(batches / 4),
    (batch) => {
      const owners = Array.from({ length: candidates }, (_, index) =>
        someone(batch * candidates + index, 12, edges.users),
      );
      const viewer = someone(batch, 13, edges.users);
      return () => {
        allowed += replica.filter(viewer, owners, "VIEW_CONTENT").ownerIds.length;
      };
    },
    1,
  );

const figures: ReplicaFigures = {
  loadSeconds,
  loadCpuMicrosOfChange: (user + system) / changesTotal,
  graphBytesOfEdge: bytes / kept,
  residentMegabytes: residentBefore + resident,
  residentBytesOfEdge: (resident * 2 ** 20) / kept,
  cold: await timeChecks(cold),
  mixed: await timeChecks(mixed),
  warm: await timeChecks(warm),
  filter: await timeFilter(),
};
await replica.close();
if (allowed === 0) throw new Error("nothing was allowed");
process.send?.(figures);
process.disconnect?.();
if (process.send === undefined) console.log(figures);
