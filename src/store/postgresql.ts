import { MikroORM } from "@mikro-orm/postgresql";
import type pg from "pg";
import type { Backend } from "./backend.ts";
import { DatabaseBreaker } from "./breaker.ts";
import { boundedCancel } from "./cancel-request.ts";
import { ConnectionTarget } from "./connection-target.ts";
import { parseDatabaseUrl } from "./database-url.ts";
import { SqlExecutor, type StatementTracer } from "./executor.ts";
import { HealthProbe } from "./health-probe.ts";
import { type LinedPool, linedPool, type OnWait } from "./lined-pool.ts";
import { migrate } from "./migrations/migrate.ts";
import { ormOptions } from "./orm-options.ts";
import { PreparedClient } from "./prepared-client.ts";
import { StatementNames } from "./statement-names.ts";
import type { Patience } from "./waiting-line.ts";

const maxConnections = 16;
/** As many as statements of decisions run at once. */
const checkConnections = 4;

/** Cancel requests under way at once, each on its own connection. */
const cancelConnections = 2;

const connection = {
  Client: PreparedClient,
  application_name: "privacy-control",
  connectionTimeoutMillis: 2_000,
  keepAlive: true,
  // Every statement reads by an index. At the server's default of 4 the planner expects that of a long list to cost
  // more than to read it whole and sort it, for every page again. Nor does it gain by remembering whom it has looked
  // up: the users of a page are all different.
  options: "-c random_page_cost=1 -c enable_memoize=off",
};

/** The statement of a check is planned once. The server would plan it for each lone pair, three times its own work. */
const plannedOnce = { options: `${connection.options} -c plan_cache_mode=force_generic_plan` };

// In milliseconds. The last is the client's own: a frozen server enforces none of the others.
const timeouts = {
  lock_timeout: 3_000,
  statement_timeout: 5_000,
  idle_in_transaction_session_timeout: 10_000,
  query_timeout: 7_000,
};

// A healthy server answers the probe at once.
const probeTimeouts = { lock_timeout: 300, statement_timeout: 1_000, query_timeout: 2_000 };

// Away within a second, whatever happens; back in less.
const watchTimes = { pauseMs: 250, silenceMs: 400 };

interface PostgresqlOptions {
  /** Migrating grants this role what the service needs. */
  readonly serviceRole?: string | undefined;
  readonly onWait?: OnWait | undefined;
  /** How long changes and checks may wait for a connection. */
  readonly patience?: Patience | undefined;
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
    patience,
    tracer,
    connectionMaxAgeSeconds: maxAgeSeconds,
    preparedStatements = true,
    warn = log,
  }: PostgresqlOptions = {},
): Promise<Backend> {
  const { hosts, database, ...parsed } = parseDatabaseUrl(url);
  const target = new ConnectionTarget({ hosts, database, ...parsed }, warn);
  const common = {
    target,
    ...connection,
    log,
    statementNames: preparedStatements ? new StatementNames() : null,
  };
  const cancel = boundedCancel(cancelConnections);
  const lined = (name: string, max: number, more = {}) =>
    linedPool({ ...common, ...timeouts, ...more, name, max, cancel, onWait, patience, maxAgeSeconds });
  const connect = ({ dialect }: LinedPool) =>
    MikroORM.init({
      ...ormOptions(log),
      dbName: database || "postgres",
      driverOptions: dialect,
    });
  const changesPool = lined("changes", maxConnections);
  const orm = await connect(changesPool);
  // Changes may wait for locks with some of their connections; decisions must not wait for them.
  const checksPool = lined("checks", checkConnections, plannedOnce);
  const checks = await connect(checksPool);
  const pools = [changesPool, checksPool];
  const probe = new HealthProbe(
    () =>
      new PreparedClient({
        ...common,
        ...probeTimeouts,
        application_name: "privacy-control watch",
      }) as PreparedClient & pg.Client,
    target,
  );
  const watch = new DatabaseBreaker(async () => {
    const health = await probe.ask();
    for (const pool of pools)
      pool.closeConnections(({ server, openedAt }) => server !== health.server || openedAt < health.failedAt);
  }, watchTimes);
  const addresses = hosts.map(({ host, port }) => `${host}:${port}`).join(",");
  return {
    kind: "postgresql",
    executor: new SqlExecutor(orm.em.fork().getKysely(), { watch, tracer }),
    checks: new SqlExecutor(checks.em.fork().getKysely(), { watch, tracer }),
    description: `${addresses}/${database}`,
    watch: (onChange) => watch.start(onChange),
    isSaturated: () => changesPool.sendsAway(),
    pools: () => pools.map((pool) => pool.figures()),
    async migrate() {
      // Migrations take as long as they take: a pool without timeouts, of one connection for the transaction and
      // one for the migrator's own questions.
      const untimed = await connect(linedPool({ ...common, name: "migrations", max: 2 }));
      try {
        return await migrate(untimed, serviceRole);
      } finally {
        await untimed.close();
      }
    },
    async close() {
      watch.stop();
      await Promise.all([orm.close(), checks.close()]);
      probe.close();
    },
  };
}
