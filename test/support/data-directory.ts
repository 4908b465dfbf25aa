import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase } from "../../src/store/database.ts";

let original: Promise<string> | undefined;

const newFolder = () => mkdtempSync(join(tmpdir(), "privacy-control-"));

/**
 * Makes a data directory of its own, whose embedded database has its tables and no rows: a copy of one that is made
 * once a run, since making one anew takes seconds.
 */
export async function newDataDirectory(): Promise<string> {
  original ??= makeOriginal();
  const directory = newFolder();
  cpSync(await original, directory, { recursive: true });
  return directory;
}

async function makeOriginal(): Promise<string> {
  const dataDir = newFolder();
  process.once("exit", () => rmSync(dataDir, { recursive: true, force: true }));
  const database = await openDatabase({ dataDir });
  await database.migrate();
  await database.close();
  return dataDir;
}
