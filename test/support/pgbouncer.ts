import { spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { freePort, serverAccount } from "./throwaway-server.ts";

// Ends with its standard input, so that a test run that crashes leaves no pooler behind.
const script = `
"$1" "$2" &
read -r _
kill -TERM $!
wait $!
`;

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
  const child = spawn("/bin/sh", ["-c", script, "sh", program, configuration], { cwd: "/", ...account });
  const log: string[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  createInterface(child.stderr).on("line", (line) => {
    log.push(line);
    if (line.includes("process up")) resolve();
  });
  const exit = once(child, "exit");
  exit.then(() => reject(new Error(`PgBouncer did not start: ${log.join("; ")}`)), reject);
  await promise;

  const through = new URL(url);
  through.host = `127.0.0.1:${port}`;
  return {
    url: through.href,
    log,
    async stop() {
      child.stdin.end();
      await exit;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
