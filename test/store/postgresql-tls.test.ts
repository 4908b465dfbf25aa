import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { sql } from "kysely";
import type { PrivacyError } from "../../src/domain/errors.ts";
import type { Backend } from "../../src/store/database.ts";
import { openPostgresql } from "../../src/store/postgresql.ts";
import { canMakeCertificates, makeAuthority, type TestAuthority } from "../support/certificates.ts";
import {
  canStartServer,
  serverAccount,
  startThrowawayServer,
  type ThrowawayServer,
} from "../support/throwaway-server.ts";
import { until } from "../support/until.ts";
import { withParameters } from "./suite/postgresql.ts";
import { failureOf } from "./suite/store.ts";

const isEncrypted = sql<{ ssl: boolean }>`select ssl from pg_stat_ssl where pid = pg_backend_pid()`;

describe("PostgreSQL over TLS", () => {
  let folder: string;
  let server: ThrowawayServer;
  let authority: TestAuthority;
  const opened: Backend[] = [];

  before(async function () {
    if (!canStartServer() || !canMakeCertificates) return this.skip();
    authority = makeAuthority("authority");
    const { certFile, keyFile } = authority.sign("server");
    folder = mkdtempSync(join(tmpdir(), "privacy-control-pgtls-"));
    chmodSync(folder, 0o755);
    const [cert, key] = [join(folder, "server.pem"), join(folder, "server.key")];
    copyFileSync(certFile, cert);
    copyFileSync(keyFile, key);
    chmodSync(cert, 0o644);
    chmodSync(key, 0o600);
    const { uid, gid } = serverAccount();
    if (uid !== undefined && gid !== undefined) chownSync(key, uid, gid);
    server = await startThrowawayServer({
      settings: ["ssl=on", `ssl_cert_file=${cert}`, `ssl_key_file=${key}`],
    });
  });
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });
  after(async () => {
    await server?.stop();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  async function open(parameters: Record<string, string>): Promise<Backend> {
    const backend = await openPostgresql(withParameters(server.url, parameters), () => {});
    opened.push(backend);
    return backend;
  }

  for (const sslmode of ["require", "verify-ca", "verify-full", "no-verify"])
    it(`is encrypted with sslmode=${sslmode}`, async () => {
      const { executor } = await open({ sslmode, sslrootcert: authority.certFile });
      expect(await executor.read(isEncrypted)).to.eql([{ ssl: true }]);
    });

  it("is not encrypted without sslmode", async () => {
    const { executor } = await open({});
    expect(await executor.read(isEncrypted)).to.eql([{ ssl: false }]);
  });

  for (const sslmode of ["require", "verify-full"])
    it(`is refused with sslmode=${sslmode} when another authority signed its certificate`, async () => {
      const { executor } = await open({ sslmode, sslrootcert: makeAuthority("other").certFile });
      const failure = (await failureOf(executor.read(isEncrypted))) as PrivacyError;
      expect(String(failure.cause ?? failure)).to.match(/certificate/);
    });

  it("cancels statements", async () => {
    const { executor } = await open({ sslmode: "verify-full", sslrootcert: authority.certFile });
    const controller = new AbortController();
    const sleeping = sql`select from pg_stat_activity where state = 'active' and query = 'select pg_sleep(30)'`;
    const call = failureOf(executor.read(sql`select pg_sleep(30)`, controller.signal));
    await until(async () => (await executor.read(sleeping)).length === 1);
    controller.abort(new Error("the caller disconnected"));
    expect(String(await call)).to.equal("Error: the caller disconnected");
    await until(async () => (await executor.read(sleeping)).length === 0);
  });
});
