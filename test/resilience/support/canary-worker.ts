import { parentPort, workerData } from "node:worker_threads";
import { openAsking } from "./ask.ts";
import type { CanaryReport, CanarySettings } from "./canary.ts";

// Runs in a thread of its own, so that only the service can make it wait. Ends at the first message.
const { publicUrl, internalUrl, user, userToken, serviceToken, pauseMs } = workerData as CanarySettings;
const ask = openAsking({ publicUrl, internalUrl });
const times: number[] = [];
const failures: string[] = [];
let stopped = false;

async function callAgainAndAgain(call: () => Promise<number>, good: number): Promise<void> {
  while (!stopped) {
    const startedAt = performance.now();
    const got = await call();
    times.push(performance.now() - startedAt);
    if (got !== good) failures.push(`answered ${got}`);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

parentPort?.once("message", () => {
  stopped = true;
});
await Promise.all([
  callAgainAndAgain(() => ask.rest(`Bearer ${userToken}`), 200),
  callAgainAndAgain(() => ask.internal(`Bearer ${serviceToken}`, user), 0),
]);
ask[Symbol.dispose]();
times.sort((a, b) => a - b);
const report: CanaryReport = {
  calls: times.length,
  failures,
  p99: times[Math.ceil(times.length * 0.99) - 1] ?? 0,
  slowest: times.at(-1) ?? 0,
};
parentPort?.postMessage(report);
