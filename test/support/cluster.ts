import { randomBytes } from "node:crypto";
import pg from "pg";
import { canStartServer, startThrowawayServer, type ThrowawayServer } from "./throwaway-server.ts";

let server: Promise<Pick<ThrowawayServer, "url" | "stop"> | undefined> | undefined;
const created: string[] = [];

/**
 * Creates an empty database for one test file and returns its URL: on the server of `TEST_DATABASE_URL`, else on one
 * that is started for the whole run. It is dropped when the run ends. Undefined, which is said once, when PostgreSQL
 * is not installed; throws when it is but cannot be started, and on a CI machine that lacks it.
 */
export async function postgresUrl(): Promise<string | undefined> {
  server ??= findServer();
  const url = (await server)?.url;
  if (url === undefined) return undefined;
  const name = `test_${randomBytes(6).toString("hex")}`;
  await administer(url, `create database ${name}`);
  created.push(name);
  const database = new URL(url);
  database.pathname = `/${name}`;
  return database.href;
}

async function administer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

async function findServer(): Promise<Pick<ThrowawayServer, "url" | "stop"> | undefined> {
  const url = process.env.TEST_DATABASE_URL;
  if (url) return { url, stop: () => dropAll(url) };
  return canStartServer() ? await startThrowawayServer() : undefined;
}

async function dropAll(url: string): Promise<void> {
  for (const name of created) await administer(url, `drop database if exists ${name} with (force)`);
}

after("stop the PostgreSQL server", async () => {
  // A server that could not be started has failed its tests already.
  const started = await server?.catch(() => undefined);
  await started?.stop();
});
