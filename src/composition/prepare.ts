import { loadDemoData } from "../development/demo-data.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { Database } from "../store/database.ts";
import { StartError } from "./start-error.ts";

interface PrepareOptions {
  readonly production: boolean;
  readonly withDemoData: boolean;
}

/**
 * Brings the schema up to date, or makes sure in production that it is, and returns the key of page tokens. Throws an
 * error for the operator when the database cannot be used.
 */
export async function prepare(
  database: Database,
  { production, withDemoData }: PrepareOptions,
): Promise<Uint8Array> {
  try {
    if (production) await database.assertMigrated();
    else await database.migrate();
    if (withDemoData) await loadDemoData(database);
    return await database.signingKey();
  } catch (cause) {
    const { message } =
      cause instanceof PrivacyError && cause.cause instanceof Error ? cause.cause : (cause as Error);
    throw new StartError(`The database ${database.describe()} cannot be used: ${message}`, { cause });
  }
}
