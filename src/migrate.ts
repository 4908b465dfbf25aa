import { CommandError, readCommandLine, runCommand } from "./command.ts";
import { readDatabaseConfig } from "./config/config.ts";
import { type Database, openDatabase } from "./store/database.ts";

const usage = `Usage:
  npm run migrate

Brings the schema of the database up to date, and says what it applied. Several
may run at once: one works, the others wait.

The database is that of DATABASE_URL, else the embedded one in DATA_DIR.
DATABASE_SERVICE_ROLE is granted what the service needs.
`;

readCommandLine(usage, {});

await runCommand(async () => {
  const database = await openDatabase(readDatabaseConfig(process.env));
  try {
    const applied = await migrate(database);
    const done = applied.length === 0 ? "Nothing to apply" : `Applied ${applied.join(", ")}`;
    process.stdout.write(`${done}: the schema of ${database.describe()} is up to date\n`);
  } finally {
    await database.close();
  }
});

async function migrate(database: Database): Promise<string[]> {
  try {
    return await database.migrate();
  } catch (cause) {
    const { message } = cause as Error;
    throw new CommandError(`The schema of ${database.describe()} could not be renewed: ${message}`, {
      cause,
    });
  }
}
