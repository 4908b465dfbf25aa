import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { Instance } from "./instance.ts";

/** A client that only wants to be served, while others misbehave. */
export interface Canary {
  /** Ends it, and resolves to its report. */
  stop(): Promise<CanaryReport>;
}

export interface CanaryReport {
  readonly calls: number;
  /** What failed. */
  readonly failures: readonly string[];
  /** Milliseconds within which 99 of 100 calls were answered. */
  readonly p99: number;
  readonly slowest: number;
}

/** The settings of a canary's thread. */
export interface CanarySettings {
  readonly publicUrl: string;
  readonly internalUrl: string;
  readonly user: string;
  readonly userToken: string;
  readonly serviceToken: string;
  /** Between two calls. */
  readonly pauseMs: number;
}

/** Starts a client of both listeners: REST and gRPC, as `user`. */
export async function startCanary(instance: Instance, user: string): Promise<Canary> {
  const { publicUrl, internalUrl } = instance;
  const [userToken, serviceToken] = [await instance.userToken(user), await instance.serviceToken()];
  const settings: CanarySettings = { publicUrl, internalUrl, user, userToken, serviceToken, pauseMs: 10 };
  const worker = new Worker(new URL("canary-worker.ts", import.meta.url), { workerData: settings });
  const report = once(worker, "message");
  report.catch(() => {});
  return {
    async stop() {
      worker.postMessage("stop");
      const [told] = await report;
      return told;
    },
  };
}
