import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";

/** A service that can be stopped. */
export interface Stoppable {
  /** Tells balancers at once to send nothing more; goes on serving. */
  retire(): void;
  /** Stops within `graceMs` milliseconds, a little more when calls are cut off. Resolves to how many were. */
  stop(graceMs: number): Promise<number>;
}

interface StopOptions {
  /** How long the service goes on after it has told balancers, in milliseconds. */
  readonly drainDelayMs: number;
  /** How long calls in flight may go on after that. */
  readonly graceMs?: number;
  /** How much longer the rest of the end may take, the closing of the database above all. */
  readonly closingMs?: number;
  readonly log: Logger;
}

/** A signal to the process group of `npm start` arrives twice: once directly, once passed on by npm. */
const repeatMs = 1_000;

/**
 * Ends the process at SIGTERM and SIGINT, and after what nobody caught: with code 0 when every call was answered,
 * with 1 when one was cut off, at a second signal, and after a failure. Returns what takes the service to stop;
 * until then there is nothing to lose, and a signal ends the process at once.
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
