import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { sql } from "kysely";
import type { Backend } from "../../src/store/database.ts";
import { openPostgresql } from "../../src/store/postgresql.ts";
import { canStartServer, startThrowawayServer, type ThrowawayServer } from "../support/throwaway-server.ts";
import { until } from "../support/until.ts";
import { failureOf } from "./suite/store.ts";

describe("PostgreSQL over a Unix socket", () => {
  let folder: string;
  let server: ThrowawayServer;
  let backend: Backend;

  before(async function () {
    if (!canStartServer()) return this.skip();
    folder = mkdtempSync(join(tmpdir(), "privacy-control-socket-"));
    // The account that the server runs as must get in.
    chmodSync(folder, 0o777);
    server = await startThrowawayServer({ settings: [`unix_socket_directories=${folder}`] });
    const { port } = new URL(server.url);
    backend = await openPostgresql(`postgres://postgres@/postgres?host=${folder}&port=${port}`, () => {});
  });
  after(async () => {
    await backend?.close();
    await server?.stop();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  it("is reached, migrated and described by its directory", async () => {
    expect(await backend.migrate()).not.to.eql([]);
    const overSocket = sql<{ is: boolean }>`select inet_server_addr() is null as is`;
    expect(await backend.executor.read(overSocket)).to.eql([{ is: true }]);
    expect(backend.description).to.equal(`${folder}:${new URL(server.url).port}/postgres`);
  });

  it("cancels statements", async () => {
    const controller = new AbortController();
    const sleeping = sql`select from pg_stat_activity where state = 'active' and query = 'select pg_sleep(30)'`;
    const call = failureOf(backend.executor.read(sql`select pg_sleep(30)`, controller.signal));
    await until(async () => (await backend.executor.read(sleeping)).length === 1);
    controller.abort(new Error("the caller disconnected"));
    expect(String(await call)).to.equal("Error: the caller disconnected");
    await until(async () => (await backend.executor.read(sleeping)).length === 0);
  });
});
