import { openAsking } from "./ask.ts";
import type { Instance } from "./instance.ts";

/** A client that only wants to be served, while others misbehave. */
export interface Canary {
  /** Ends it, and tells how it fared. */
  stop(): Promise<CanaryReport>;
}

interface CanaryReport {
  readonly calls: number;
  /** What failed. */
  readonly failures: readonly string[];
  /** Milliseconds within which 99 of 100 calls were answered. */
  readonly p99: number;
  readonly slowest: number;
}

/** Between two calls, in milliseconds. */
const pauseMs = 10;

/** Starts a client of both listeners: REST and gRPC, as `user`. */
export async function startCanary(instance: Instance, user: string): Promise<Canary> {
  const [userToken, serviceToken] = [await instance.userToken(user), await instance.serviceToken()];
  const ask = openAsking(instance);
  const times: number[] = [];
  const failures: string[] = [];
  let stopped = false;
  const loop = async (call: () => Promise<number>, good: number) => {
    while (!stopped) {
      const startedAt = performance.now();
      const got = await call();
      times.push(performance.now() - startedAt);
      if (got !== good) failures.push(`answered ${got}`);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  };
  const loops = [
    loop(() => ask.rest(`Bearer ${userToken}`), 200),
    loop(() => ask.internal(`Bearer ${serviceToken}`, user), 0),
  ];
  return {
    async stop() {
      stopped = true;
      await Promise.all(loops);
      ask[Symbol.dispose]();
      times.sort((a, b) => a - b);
      const p99 = times[Math.ceil(times.length * 0.99) - 1] ?? 0;
      return { calls: times.length, failures, p99, slowest: times.at(-1) ?? 0 };
    },
  };
}
