import pg from "pg";
import { startInstance } from "../resilience/support/instance.ts";
import type { VitalSigns } from "../resilience/support/vital-signs.ts";
import { untilGraphReady } from "../support/graph.ts";
import { startThrowawayServer } from "../support/throwaway-server.ts";
import { until } from "../support/until.ts";
import type { Figures } from "./graph-figures.ts";

const line = "the graph is loaded";
const idOf = (number: string) =>
  `lpad(to_hex(${number} * 2654435761 % 4294967296), 8, '0') || '-0000-4000-8000-' || lpad(to_hex(${number}), 12, '0')`;

/** A user for every five edges, of which three are follows. */
const fill = (edges: number) => {
  const users = edges / 5;
  const pairs = (columns: string, from: number, count: number) => `
    select (${idOf(`n % ${users}`)})::uuid, (${idOf(`(n + 1 + n / ${users}) % ${users}`)})::uuid, ${columns}
    from generate_series(${from}, ${from + count - 1}) n`;
  return `
    insert into users select (${idOf("n")})::uuid, 'user' || n, '', '', '{}', false
    from generate_series(0, ${users - 1}) n;
    insert into follows (follower_id, followee_id, created_at) ${pairs("now()", 0, users * 3)};
    insert into blocks (blocker_id, blocked_id, id, created_at)
    ${pairs("gen_random_uuid(), now()", users * 3, users)};
    insert into mutes (muter_id, muted_id, id, created_at)
    ${pairs("gen_random_uuid(), now()", users * 4, users)}`;
};

/**
 * Measures how long a service takes to load so many edges, and how late its event loop is meanwhile. The loop is looked at
 * every 5 ms, which are part of the delay.
 */
export async function measureLoad(edges: number): Promise<Figures> {
  await using parts = new AsyncDisposableStack();
  const server = await startThrowawayServer();
  parts.defer(() => server.stop());
  const instance = parts.use(
    await startInstance({
      database: server.url,
      preload: "vital-signs.ts",
      nodeOptions: ["--expose-gc"],
      environment: { LOG_LEVEL: "info" },
    }),
  );
  await untilGraphReady(instance);
  const loads = () => instance.faults.filter((text) => text.includes(line));
  const admin = new pg.Client(server.url);
  await admin.connect();
  parts.defer(() => admin.end());
  // Nothing is logged: the graph does not know of it before it is loaded again.
  await admin.query("set session_replication_role = replica");
  await admin.query(fill(edges));
  await admin.query("set session_replication_role = origin");
  await instance.ask("vital signs");
  await admin.query("truncate privacy_exceptions");
  await until(() => loads().length === 2);
  const { loopP99Ms, loopMaxMs } = (await instance.ask("vital signs")) as VitalSigns;
  const loaded = JSON.parse(loads().at(-1) ?? "") as { edges: number; ms: number };
  return {
    edges: loaded.edges.toLocaleString("en"),
    "edges a second": Math.round((loaded.edges / loaded.ms) * 1_000).toLocaleString("en"),
    "event-loop delay, p99": `${loopP99Ms.toFixed(1)} ms`,
    "event-loop delay, longest": `${loopMaxMs.toFixed(1)} ms`,
  };
}
