import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";

/** A service that can be stopped. */
export interface Stoppable {
  /** Reports to load balancers that it is not ready. Continues to serve. */
  retire(): void;
  /** Stops within `graceMs` milliseconds, a little more when calls are cut off. Resolves to the number of those. */
  stop(graceMs: number): Promise<number>;
}

interface StopOptions {
  /** How long the service still serves after it has reported that it is not ready, in milliseconds. */
  readonly drainDelayMs: number;
  /** How long calls in flight may take after that. */
  readonly graceMs?: number;
  /** How much longer the rest of the stop may take, above all closing the database. */
  readonly closingMs?: number;
  readonly log: Logger;
}

/** Two signals within this time count as one: npm passes on a signal that its process group has got already. */
const repeatMs = 1_000;

/**
 * Stops the service and exits at SIGTERM, SIGINT and an uncaught error. The exit code is 0 when every call was answered;
 * it is 1 when a call was cut off, after an error, and at a second signal, which ends the process at once.
 *
 * Returns the function that sets the service to stop. Before that, a signal ends the process at once with code 0.
 */
export function stopOnSignal({
  drainDelayMs,
  graceMs = 10_000,
  closingMs = 5_000,
  log,
}: StopOptions): (service: Stoppable) => void {
  let service: Stoppable | undefined;
  let firstAt: number | undefined;
  let exitCode = 0;

  const fail = (message: string, context: object) => {
    log.fatal(context, message);
    process.exit(1);
  };

  const stop = async (reason: string) => {
    if (firstAt !== undefined) return;
    firstAt = performance.now();
    log.info({ reason }, "stopping");
    if (service === undefined) process.exit(exitCode);
    const limit = setTimeout(fail, drainDelayMs + graceMs + closingMs, "stopping takes too long", {});
    try {
      service.retire();
      await delay(drainDelayMs);
      const cut = await service.stop(graceMs);
      clearTimeout(limit);
      if (cut > 0) fail("calls were cut off", { calls: cut });
      log.info("stopped");
      process.exit(exitCode);
    } catch (err) {
      fail("stopping failed", { err });
    }
  };

  for (const signal of ["SIGTERM", "SIGINT"]) {
    process.on(signal, () => {
      if (firstAt !== undefined && performance.now() - firstAt > repeatMs)
        fail("a second signal", { signal });
      stop(signal);
    });
  }
  for (const event of ["unhandledRejection", "uncaughtException"]) {
    process.on(event, (err) => {
      log.fatal({ err }, event);
      exitCode = 1;
      stop(event);
    });
  }
  return (started) => {
    service = started;
  };
}
