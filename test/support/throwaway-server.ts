import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync } from "node:fs";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";

// Ends with its standard input, so that a test run that crashes leaves no server behind.
const script = `
set -e
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
trap : INT TERM HUP
"$1/initdb" --pgdata "$data" --username postgres --auth trust --encoding UTF8 --no-locale --no-sync >/dev/null
"$1/postgres" -D "$data" -p "$2" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off \
  -c max_connections=300 &
read -r _ || true
kill -QUIT $!
wait $! || true
`;

/** A PostgreSQL server of its own, in a directory of its own, on a free port of the loopback interface. */
export interface ThrowawayServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** Starts a server; throws an error that says why when this machine cannot. */
export async function startThrowawayServer(): Promise<ThrowawayServer> {
  const bin = findBinaries();
  if (bin === undefined) throw new Error("initdb and postgres are not installed");
  const port = await freePort();
  // PostgreSQL refuses to run as root.
  const [command, ...leading] = process.getuid?.() === 0 ? ["runuser", "-u", "postgres", "--", "sh"] : ["sh"];
  const child = spawn(command as string, [...leading, "-c", script, "sh", bin, String(port)], {
    cwd: "/",
    stdio: ["pipe", "ignore", "pipe"],
  });
  await ready(child);
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    async stop() {
      const exit = once(child, "exit");
      child.stdin?.end();
      await exit;
    },
  };
}

async function ready(child: ChildProcess): Promise<void> {
  const said: string[] = [];
  child.once("error", (failure) => said.push(String(failure)));
  if (child.stderr === null) throw new Error("the server has no standard error");
  for await (const line of createInterface(child.stderr)) {
    said.push(line);
    if (!line.includes("ready to accept connections")) continue;
    // Unread, the pipe would fill up and stop the server.
    child.stderr.resume();
    return;
  }
  throw new Error(`the server did not start: ${said.join("; ")}`);
}

/** The directory of the programs of the newest PostgreSQL that is installed. */
export function findBinaries(): string | undefined {
  const onPath = (process.env.PATH ?? "").split(delimiter);
  const installed = globSync("/usr/lib/postgresql/*/bin").sort((a, b) =>
    b.localeCompare(a, "en", { numeric: true }),
  );
  return [...onPath, ...installed].find(
    (directory) => existsSync(join(directory, "initdb")) && existsSync(join(directory, "postgres")),
  );
}

/** A port of the loopback interface that nobody listens on. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}
