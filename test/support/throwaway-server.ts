import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { createInterface, type Interface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { findPostgresql, isNeeded } from "./programs.ts";

const maxStarts = 50;
const startPauseMs = 100;

// Ends with its standard input, so that a test run that crashes leaves no server behind. Writes the process id of the
// server; a line starts it once more, when it has been killed.
const script = `
set -e
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
trap : INT TERM HUP
bin=$1 port=$2 fsync=$3 primary=$4
shift 4
if [ -n "$primary" ]; then
  "$(dirname "$(realpath "$bin/postgres")")/pg_basebackup" --dbname "$primary" --pgdata "$data" --write-recovery-conf --checkpoint fast --no-sync
  chmod 700 "$data"
else
  "$bin/initdb" --pgdata "$data" --username postgres --auth trust --encoding UTF8 --no-locale --no-sync >/dev/null
fi
while
  "$bin/postgres" -D "$data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync="$fsync" \
    -c max_connections=300 "$@" &
  echo $!
  read -r _
do
  wait $! || true
done
kill -QUIT $! && kill -CONT $! && wait $! || true
`;

/** A PostgreSQL server of its own, in a directory of its own, on a free port of the loopback interface. */
export interface ThrowawayServer {
  readonly url: string;
  /** The process id of the server. */
  readonly pid: () => number;
  /** Starts a killed server once more, and waits until it is ready. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

interface ServerOptions {
  /** Keeps what was committed when it is killed with its machine; otherwise faster. */
  readonly durable?: boolean;
  /** Further settings: `name=value`. */
  readonly settings?: readonly string[];
  /** The URL of the primary of which it is to be a streaming standby. */
  readonly standbyOf?: string;
}

/** Whether PostgreSQL is installed. Throws on a CI machine that lacks it. */
export function canStartServer(): boolean {
  return isNeeded("PostgreSQL", findPostgresql()) !== undefined;
}

/** Starts a server. Throws an error that says why it cannot be started. */
export async function startThrowawayServer({
  durable = false,
  settings = [],
  standbyOf = "",
}: ServerOptions = {}): Promise<ThrowawayServer> {
  const bin = findPostgresql();
  if (bin === undefined) throw new Error("initdb and postgres are not installed");
  const port = await freePort();
  const further = settings.flatMap((setting) => ["-c", setting]);
  const args = ["-c", script, "sh", bin, String(port), durable ? "on" : "off", standbyOf, ...further];
  const child = spawn("/bin/sh", args, { cwd: "/", ...serverAccount() });
  const said = createInterface(child.stderr);
  const pids = createInterface(child.stdout);
  const start = async () => {
    const [[pid]] = await Promise.all([once(pids, "line"), ready(child, said)]);
    return Number(pid);
  };
  let pid = await start();
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    pid: () => pid,
    async restart() {
      for (let attempt = 1; ; attempt++) {
        child.stdin.write("\n");
        try {
          pid = await start();
          return;
        } catch (failure) {
          // The processes of the killed server's connections may live a moment longer than it did.
          if (attempt === maxStarts || !String(failure).includes("pre-existing shared memory")) throw failure;
          await setTimeout(startPauseMs);
        }
      }
    },
    async stop() {
      const exit = once(child, "exit");
      child.stdin.end();
      await exit;
    },
  };
}

/** Waits for the server to say that it is ready; rejects when it says that it cannot start. */
async function ready(child: ChildProcess, lines: Interface): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const said: string[] = [];
  const fail = (reason: unknown) =>
    reject(new Error(`the server did not start: ${[...said, reason].join("; ")}`));
  const look = (line: string) => {
    said.push(line);
    if (/ready to accept (read-only )?connections/.test(line)) resolve();
    if (line.includes("pre-existing shared memory")) fail("it runs still");
  };
  const exit = () => fail("it ended");
  child.once("error", fail).once("close", exit);
  lines.on("line", look);
  try {
    await promise;
  } finally {
    child.off("error", fail).off("close", exit);
    lines.off("line", look);
  }
}

/** The account that a server runs as: this process's own, or that of `postgres` for root: a server refuses to run as root. */
export function serverAccount(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const entry = /^postgres:[^:]*:(\d+):(\d+):/m.exec(readFileSync("/etc/passwd", "utf8"));
  if (entry === null)
    throw new Error("PostgreSQL refuses to run as root, and there is no account named postgres");
  return { uid: Number(entry[1]), gid: Number(entry[2]) };
}

/**
 * A free port of the loopback interface, below those that systems give to outgoing connections: it
 * is free again whenever its listener is restarted.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const probe = createServer().listen(port, "127.0.0.1");
    try {
      await once(probe, "listening");
      probe.close();
      return port;
    } catch {
      // Somebody listens on it.
    }
  }
}
