import { MikroORM } from "@mikro-orm/postgresql";
import type { DatabaseConnection } from "kysely";
import type { Backend } from "./backend.ts";
import { migrate } from "./migrations/migrate.ts";
import { ormOptions } from "./orm-options.ts";
import { PreparedClient } from "./prepared-client.ts";
import { quietAborts } from "./quiet-aborts.ts";
import { Session } from "./session.ts";

const maxConnections = 16;
/** As many as statements of decisions run at once. */
const checkConnections = 4;

const connection = {
  Client: PreparedClient,
  application_name: "privacy-control",
  connectionTimeoutMillis: 2_000,
  keepAlive: true,
  // Every statement reads by an index. At the server's default of 4 the planner expects that of a long list to cost
  // more than to read it whole and sort it, for every page again.
  options: "-c random_page_cost=1",
};

// In milliseconds. The last is the client's own: a frozen server enforces none of the others.
const timeouts = {
  lock_timeout: 3_000,
  statement_timeout: 5_000,
  idle_in_transaction_session_timeout: 10_000,
  query_timeout: 7_000,
};

/** Opens a pool on the database of a `postgres://` URL. Connects when first used, so it never fails on a server. */
export async function openPostgresql(url: string, log: (message: string) => void): Promise<Backend> {
  const connect = (max: number, driverOptions: object) =>
    MikroORM.init({
      ...ormOptions(log),
      clientUrl: url,
      pool: { max },
      onCreateConnection: (connection) => quietAborts(connection as DatabaseConnection),
      // The whole URL: MikroORM drops its parameters, `sslmode` among them.
      driverOptions: { connectionString: url, ...driverOptions },
    });
  const orm = await connect(maxConnections, { ...connection, ...timeouts });
  // Changes may wait for locks with all of their connections; decisions must not wait for them.
  const checks = await connect(checkConnections, { ...connection, ...timeouts });
  const { hostname, port, pathname } = new URL(url);
  return {
    kind: "postgresql",
    session: new Session(orm.em.fork().getKysely(), "cancel query"),
    checks: new Session(checks.em.fork().getKysely(), "cancel query"),
    description: `${hostname}:${port || "5432"}${pathname}`,
    async migrate() {
      // Migrations take as long as they take: a pool without timeouts, of one connection for the transaction and
      // one for the migrator's own questions.
      const untimed = await connect(2, connection);
      try {
        return await migrate(untimed);
      } finally {
        await untimed.close();
      }
    },
    async close() {
      await Promise.all([orm.close(), checks.close()]);
    },
  };
}
