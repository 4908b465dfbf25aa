import cluster, { type Worker } from "node:cluster";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";

/** Processes that serve the same ports, and are replaced when they end. */
export interface Supervisor<Started> {
  /** What one of them told of its start, when all have. Rejects, with none left, when one ends before. */
  readonly started: Promise<Started>;
  /** Has every worker look for new certificates now. */
  renew(): void;
  /** Has every worker stop. */
  retire(): void;
  /** Kills the workers that still run after `graceMs` milliseconds. Resolves to how many did not end well. */
  stop(graceMs: number): Promise<number>;
}

/** What a worker says; the metrics have messages of their own. */
interface Message<Started> {
  readonly started?: Started;
}

/** The workers cannot start; each has written why to standard error. */
class StartError extends Error {
  override readonly name = "StartError";
}

/** A worker that lived for less is not replaced at once: what ended it may end the next one too. */
const shortLifeMs = 5_000;
const replaceDelayMs = 1_000;
/** How much longer than the calls a worker may take to end. */
const lastWordsMs = 2_000;

/** Runs `count` workers of this very program, which call `tellStarted`. Connections go to the workers in turn. */
export function superviseWorkers<Started>(count: number, log: Logger): Supervisor<Started> {
  // The kernel would choose by chance, and a few long-lived connections spread evenly only in turn.
  cluster.schedulingPolicy = cluster.SCHED_RR;
  const ready = Promise.withResolvers<Started>();
  const serving = new Set<Worker>();
  let waitingFor = count;
  let stopping = false;

  /** Keeps one worker alive; resolves to the exit code of the last. */
  const keepOne = async (): Promise<number> => {
    for (;;) {
      const since = performance.now();
      const worker = cluster.fork();
      worker.on("message", ({ started }: Message<Started>) => {
        if (started === undefined) return;
        serving.add(worker);
        if (waitingFor === 0) log.info("the new worker serves");
        else if (--waitingFor === 0) ready.resolve(started);
      });
      // A message to a worker that has just ended must not end the others.
      worker.on("error", (err) => log.warn({ err }, "a worker cannot be told"));
      const [code, signal] = (await once(worker, "exit")) as [number | null, NodeJS.Signals | null];
      serving.delete(worker);
      // By the signal itself it ends before it serves: nobody was cut off.
      if (stopping) return code ?? (signal === "SIGTERM" ? 0 : 1);
      if (waitingFor > 0) ready.reject(new StartError("A worker ended before it was ready."));
      else log.error({ code, signal }, "a worker ended and is replaced");
      if (performance.now() - since < shortLifeMs) await delay(replaceDelayMs);
      if (stopping) return 0;
    }
  };
  const signal = (name: NodeJS.Signals) => {
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill(name);
  };
  // One that still starts reads the files anyway, and would end by a signal that it does not expect yet.
  const renew = () => {
    for (const worker of serving) worker.process.kill("SIGHUP");
  };
  const kept = Array.from({ length: count }, keepOne);
  const retire = () => {
    stopping = true;
    signal("SIGTERM");
  };
  const stop = async (graceMs: number) => {
    const cutOff = setTimeout(signal, graceMs + lastWordsMs, "SIGKILL");
    const codes = await Promise.all(kept);
    clearTimeout(cutOff);
    return codes.filter((code) => code !== 0).length;
  };

  const started = ready.promise.catch(async (failure) => {
    retire();
    await stop(0);
    throw failure;
  });
  return { started, renew, retire, stop };
}

/** Whether this process is a worker. */
export const isWorker = cluster.isWorker;

/** Tells the supervisor that this worker serves. */
export function tellStarted(started: unknown): void {
  process.send?.({ started });
}
