import { MikroORM } from "@mikro-orm/postgresql";
import { PostgresDialect } from "kysely";
import type pg from "pg";
import { DatabaseBreaker } from "./breaker.ts";
import { boundedCancel } from "./cancel-request.ts";
import type { PoolLimits } from "./connection.ts";
import {
  ConnectionTarget,
  disconnect,
  makePool,
  parseDatabaseUrl,
  TargetClient,
} from "./connection-target.ts";
import type { Backend } from "./database.ts";
import { SqlExecutor, type StatementTracer } from "./executor.ts";
import { HealthProbe } from "./health-probe.ts";
import { migrate, ormOptions } from "./migrations/migrate.ts";
import { type OnWait, PgPool, StatementNames } from "./pg-pool.ts";
import { inspectServer } from "./server-state.ts";

/** For changes and lists. */
const mainPool: PoolLimits = { maxConnections: 16, acquireTimeoutMs: 1_000, maxWaiting: 400 };
/** For decisions: one for the statement that calls share, and the others for large calls, explanations and lists. */
const checkPool: PoolLimits = { ...mainPool, maxConnections: 4 };

/** For the graph in memory: what it has seen is known by the session, so it has one connection. */
const graphPool: PoolLimits = { ...mainPool, maxConnections: 1, maxWaiting: 8 };

/** Cancel requests under way at once, each on its own connection. */
const cancelConnections = 2;

const connection = {
  application_name: "privacy-control",
  connectionTimeoutMillis: 2_000,
  keepAlive: true,
  // Every statement reads by an index. At the server's default of 4 the planner expects that of a long list to cost
  // more than to read it whole and sort it, for every page again.
  options: "-c random_page_cost=1",
};

/**
 * The statements of the graph and of decisions are planned once: the server would plan them for each lone pair again. The plan
 * stays when tables grow that were empty, so it must not read a whole one. Nor is it compiled: that takes longer than any of
 * these statements, which the server does not know of a plan that it counts as dear since it has to read a whole table.
 */
const plannedOnce = {
  ...connection,
  options: `${connection.options} -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off`,
};

// In milliseconds. The last is the client's own: a frozen server enforces none of the others.
const timeouts = {
  lock_timeout: 3_000,
  statement_timeout: 5_000,
  idle_in_transaction_session_timeout: 10_000,
  query_timeout: 7_000,
};

// A healthy server answers the probe at once.
const probeTimeouts = { lock_timeout: 300, statement_timeout: 1_000, query_timeout: 2_000 };

// Opens within a second, whatever happens, and closes in less.
const probeTiming = { intervalMs: 250, timeoutMs: 400 };

interface PostgresqlOptions {
  /** Migrating grants this role what the service needs. */
  readonly serviceRole?: string | undefined;
  readonly onWait?: OnWait | undefined;
  /** Other limits of both pools than the usual ones. */
  readonly poolLimits?: Partial<Pick<PoolLimits, "acquireTimeoutMs" | "maxWaiting">> | undefined;
  readonly tracer?: StatementTracer | undefined;
  readonly connectionMaxAgeSeconds?: number | undefined;
  readonly preparedStatements?: boolean | undefined;
  readonly warn?: ((message: string) => void) | undefined;
}

/** Opens a pool on the database of a `postgres://` URL. Connects when first used, so it never fails on a server. */
export async function openPostgresql(
  url: string,
  log: (message: string) => void,
  {
    serviceRole,
    onWait,
    poolLimits,
    tracer,
    connectionMaxAgeSeconds: maxAgeSeconds,
    preparedStatements = true,
    warn = log,
  }: PostgresqlOptions = {},
): Promise<Backend> {
  const { hosts, database, ...parsed } = parseDatabaseUrl(url);
  const target = new ConnectionTarget({ hosts, database, ...parsed }, warn);
  const statementNames = preparedStatements ? new StatementNames() : undefined;
  const cancel = boundedCancel(cancelConnections);
  const makePgPool = (name: string, limits: PoolLimits, client: pg.ClientConfig) =>
    new PgPool({
      ...limits,
      ...poolLimits,
      name,
      target,
      client: { ...client, ...timeouts },
      statementNames,
      log,
      cancel,
      onWait,
      maxAgeSeconds,
    });
  const changes = makePgPool("changes", mainPool, connection);
  // Changes may wait for locks with some of their connections; decisions must not wait for them.
  const checks = makePgPool("checks", checkPool, plannedOnce);
  const graph = makePgPool("graph", graphPool, plannedOnce);
  const pools = [changes, checks, graph];
  const probe = new HealthProbe(target, {
    ...connection,
    ...probeTimeouts,
    application_name: "privacy-control probe",
  });
  const breaker = new DatabaseBreaker(async () => {
    const health = await probe.probe();
    for (const pool of pools)
      pool.closeConnections(({ server, openedAt }) => server !== health.server || openedAt < health.failedAt);
  }, probeTiming);
  const addresses = hosts.map(({ host, port }) => `${host}:${port}`).join(",");
  return {
    kind: "postgresql",
    executor: new SqlExecutor(changes, { breaker, tracer }),
    checks: new SqlExecutor(checks, { breaker, tracer }),
    graph: new SqlExecutor(graph, { breaker, tracer }),
    description: `${addresses}/${database}`,
    watchAvailability: (onChange) => breaker.start(onChange),
    isSaturated: () => changes.isSaturated,
    pools: () => pools.map((pool) => pool.stats()),
    async migrate() {
      // Migrations take as long as they take: connections without timeouts, one for the transaction and one for the
      // migrator's own questions.
      await assertUsable(target, connection);
      const { connectionTimeoutMillis } = connection;
      const pool = makePool(target, connection, { max: 2, connectionTimeoutMillis });
      // Without a listener an idle connection that breaks would end the process.
      pool.on("error", ({ message }) => log(`an idle connection broke: ${message}`));
      const inUse = new Set<pg.PoolClient>();
      pool.on("acquire", (client) => inUse.add(client));
      pool.on("release", (_, client) => inUse.delete(client));
      const orm = await MikroORM.init({
        ...ormOptions(log),
        dbName: database || "postgres",
        driverOptions: new PostgresDialect({ pool }),
      });
      try {
        return await migrate(orm, serviceRole);
      } catch (failure) {
        // MikroORM keeps a connection whose rollback failed, and the pool would wait for it for ever.
        for (const client of inUse) client.release(true);
        throw failure;
      } finally {
        await orm.close();
      }
    },
    async close() {
      breaker.stop();
      await Promise.all(pools.map((pool) => pool.close()));
      probe.close();
    },
  };
}

/** Finds the primary of a target. Throws when it cannot be used. */
async function assertUsable(target: ConnectionTarget, config: pg.ClientConfig): Promise<void> {
  await target.connect(async () => {
    const client = new TargetClient({ target, client: config });
    try {
      await client.connect();
      await target.assertSettings(client, config, await inspectServer(client));
    } finally {
      disconnect(client);
    }
  });
}
