import { chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDaemon } from "./daemon.ts";
import { freePort, serverAccount } from "./throwaway-server.ts";

/** A PgBouncer in front of a PostgreSQL server. */
export interface PgBouncer {
  /** The URL of the same database, through the pooler. */
  readonly url: string;
  /** What it has logged. */
  readonly log: readonly string[];
  stop(): Promise<void>;
}

interface PgBouncerOptions {
  /** The path of the program. */
  readonly program: string;
  readonly mode: "session" | "transaction";
  /** The URL of the database behind it. */
  readonly url: string;
  /** Further lines of its configuration: `name = value`. */
  readonly settings?: readonly string[];
}

/** Starts a pooler on a free port of the loopback interface. */
export async function startPgBouncer({
  program,
  mode,
  url,
  settings = [],
}: PgBouncerOptions): Promise<PgBouncer> {
  const { hostname, port: serverPort, username, password } = new URL(url);
  const folder = mkdtempSync(join(tmpdir(), "privacy-control-pgbouncer-"));
  const port = await freePort();
  const users = join(folder, "users.txt");
  const configuration = join(folder, "pgbouncer.ini");
  writeFileSync(users, `"${username}" "${decodeURIComponent(password)}"\n`);
  const lines = [
    "[databases]",
    `* = host=${hostname} port=${serverPort || 5432}`,
    "[pgbouncer]",
    "listen_addr = 127.0.0.1",
    `listen_port = ${port}`,
    "unix_socket_dir =",
    "auth_type = trust",
    `auth_file = ${users}`,
    `pool_mode = ${mode}`,
    ...settings,
  ];
  writeFileSync(configuration, `${lines.join("\n")}\n`);
  const account = serverAccount();
  if (account.uid !== undefined && account.gid !== undefined)
    for (const path of [folder, users, configuration]) chownSync(path, account.uid, account.gid);
  const daemon = await startDaemon([program, configuration], (line) => line.includes("process up"), account);
  const through = new URL(url);
  through.host = `127.0.0.1:${port}`;
  return {
    url: through.href,
    log: daemon.log,
    async stop() {
      await daemon.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
