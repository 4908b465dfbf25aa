import { CommandError, runCommand } from "./command.ts";
import { readDatabaseConfig } from "./config.ts";
import { type Database, openDatabase } from "./store/database.ts";

await runCommand(async () => {
  const database = await openDatabase(readDatabaseConfig(process.env));
  try {
    await migrate(database);
    process.stdout.write(`The schema is up to date: ${database.describe()}\n`);
  } finally {
    await database.close();
  }
});

async function migrate(database: Database): Promise<void> {
  try {
    await database.migrate();
  } catch (cause) {
    const { message } = cause as Error;
    throw new CommandError(`The schema of ${database.describe()} could not be renewed: ${message}`, {
      cause,
    });
  }
}
