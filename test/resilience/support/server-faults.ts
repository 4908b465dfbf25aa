import { execFile as execFileWithCallback } from "node:child_process";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import pg from "pg";
import type { ThrowawayServer } from "../../support/throwaway-server.ts";

const execFile = promisify(execFileWithCallback);
const pollMs = 10;

/** Kills a server with all of its processes. */
export async function killServer(server: ThrowawayServer): Promise<void> {
  for (const one of await stopStarting(server)) signal(one, "SIGKILL");
}

/** Freezes a server with all of its processes; returns what thaws them. */
export async function freezeServer(server: ThrowawayServer): Promise<() => void> {
  const processes = await stopStarting(server);
  for (const one of processes) signal(one, "SIGSTOP");
  return () => {
    for (const one of processes.toReversed()) signal(one, "SIGCONT");
  };
}

/** Ends one of the connections of instances that are at work. */
export async function cutConnection(url: string): Promise<void> {
  await administer(url, async (admin) => {
    await admin.query(`
      select pg_terminate_backend(pid) from (
        select pid from pg_stat_activity
        where application_name = 'privacy-control' and datname = current_database() and state <> 'idle'
        order by random() limit 1
      ) one`);
  });
}

/** The URL of a server for those whose connections shall be known by a name. */
export function connectingAs(url: string, name: string): string {
  const named = new URL(url);
  named.searchParams.set("application_name", name);
  return named.href;
}

/** Waits until a server has no connection of a name any more, and nothing at work for one. */
export async function connectionsGone(url: string, name: string): Promise<void> {
  await administer(url, async (admin) => {
    const some = "select from pg_stat_activity where application_name = $1";
    while ((await admin.query(some, [name])).rowCount !== 0) await setTimeout(pollMs);
  });
}

/** Does something with a connection of its own. */
async function administer<T>(url: string, work: (admin: pg.Client) => Promise<T>): Promise<T> {
  const admin = new pg.Client({ connectionString: url });
  admin.on("error", () => {});
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.end();
  }
}

/**
 * Stops the process of a server that starts the others, and returns it with all of them. Not even one may be missed: it
 * could wait for ever for what another one held, and no server starts before it has gone.
 */
async function stopStarting({ pid }: ThrowawayServer): Promise<number[]> {
  const first = pid();
  signal(first, "SIGSTOP");
  const { stdout } = await execFile("ps", ["-A", "-o", "pid=", "-o", "ppid="]);
  const all = stdout.split("\n").map((line) => line.trim().split(/\s+/).map(Number));
  return [first, ...all.filter(([, parent]) => parent === first).map(([child]) => child as number)];
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (failure) {
    if ((failure as NodeJS.ErrnoException).code !== "ESRCH") throw failure;
  }
}
