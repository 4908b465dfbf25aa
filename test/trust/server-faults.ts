import { setTimeout } from "node:timers/promises";
import pg from "pg";
import type { ThrowawayServer } from "../support/throwaway-server.ts";

const pollMs = 10;

/** Kills a server with all of its processes. */
export async function killServer({ url, pid }: ThrowawayServer): Promise<void> {
  const others = await administer(url, processes);
  for (const one of [pid(), ...others]) signal(one, "SIGKILL");
}

/** Freezes a server with all of its processes; returns what thaws them. */
export async function freezeServer({ url, pid }: ThrowawayServer): Promise<() => void> {
  const others = await administer(url, async (admin) => {
    // From here on it starts no more of them.
    signal(pid(), "SIGSTOP");
    return processes(admin);
  });
  for (const one of others) signal(one, "SIGSTOP");
  return () => {
    for (const one of [...others, pid()]) signal(one, "SIGCONT");
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

async function processes(admin: pg.Client): Promise<number[]> {
  const { rows } = await admin.query("select pid from pg_stat_activity");
  return rows.map(({ pid }) => pid);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (failure) {
    if ((failure as NodeJS.ErrnoException).code !== "ESRCH") throw failure;
  }
}
