import { Migrator } from "@mikro-orm/migrations";
import { entities } from "./entities.ts";
import { migrationsList } from "./migrations/list.ts";

/** What MikroORM is told whatever the backend. */
export function ormOptions(log: (message: string) => void) {
  return {
    entities,
    extensions: [Migrator],
    logger: log,
    colors: false,
    migrations: {
      migrationsList,
      tableName: "migrations",
      snapshot: false,
      silent: true,
      // Switching the checks off needs a superuser on PostgreSQL.
      disableForeignKeys: false,
      // Makes the migrator look for its table inside the transaction: instances that start at once would collide on
      // it outside of the lock, and PGlite's one connection would wait for itself.
      includeWildcardSchema: true,
    },
  };
}
