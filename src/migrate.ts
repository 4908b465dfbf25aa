import { runCommand } from "./command.ts";
import { readDatabaseConfig } from "./config.ts";
import { openDatabase } from "./store/database.ts";

await runCommand(async () => {
  const database = await openDatabase(readDatabaseConfig(process.env));
  try {
    await database.migrate();
    process.stdout.write(`The schema is up to date: ${database.describe()}\n`);
  } finally {
    await database.close();
  }
});
