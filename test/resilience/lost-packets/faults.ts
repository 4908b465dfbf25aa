import { setTimeout } from "node:timers/promises";
import { startFreezingProxy } from "../../support/freezing-proxy.ts";
import { openNamespace } from "../support/namespace.ts";
import { type LostPacketsOptions, type LostPacketsOutcome, query, runLostPackets } from "./lost-packets.ts";

/** Freezes single backends of two instances, one after the other. */
export function freezeBackends(options: LostPacketsOptions): Promise<LostPacketsOutcome> {
  return runLostPackets(options, async (server, start) => {
    const instances = [await start(server.url), await start(server.url)];
    return {
      instances,
      fault: async (random) => {
        const pids = await busyBackends(server.url);
        for (const pid of pids) process.kill(pid, "SIGSTOP");
        await setTimeout(600 + random.below(1_000));
        for (const pid of pids) process.kill(pid, "SIGCONT");
        await setTimeout(100);
      },
    };
  });
}

/** Holds back what one of two instances and PostgreSQL send to each other, and delivers it late. */
export function holdPackets(options: LostPacketsOptions, [leastMs, mostMs] = [3_500, 4_500]) {
  return runLostPackets(options, async (server, start, parts) => {
    const proxy = await startFreezingProxy(server.url);
    parts.defer(() => proxy.close());
    const instances = [await start(proxy.url), await start(server.url)];
    return {
      instances,
      fault: async (random) => {
        proxy.freeze();
        await setTimeout(leastMs + random.below(mostMs - leastMs));
        proxy.thaw();
        await setTimeout(500);
      },
    };
  });
}

/** Loses the packets between one of two instances and PostgreSQL, by a network link that is cut. Needs `whyNoNamespace` to be undefined. */
export function losePackets(options: LostPacketsOptions, [leastMs, mostMs] = [3_500, 4_500]) {
  return runLostPackets(options, async (server, start, parts) => {
    const namespace = await openNamespace(server.url);
    parts.defer(() => namespace.close());
    const instances = [await start(namespace.url, namespace), await start(server.url)];
    return {
      instances,
      fault: async (random) => {
        namespace.cut();
        await setTimeout(leastMs + random.below(mostMs - leastMs));
        namespace.mend();
        // TCP sends again what was lost, after pauses that double.
        await setTimeout(leastMs);
      },
    };
  });
}

/** Backends of pools of changes, those at work first. */
async function busyBackends(url: string): Promise<number[]> {
  const rows = await query<{ pid: number }>(
    url,
    `select pid from pg_stat_activity
      where application_name = 'privacy-control' and (state <> 'idle' or query = 'commit')
      order by state = 'idle', random() limit 4`,
  );
  return rows.map(({ pid }) => pid);
}
