import type { Logger } from "pino";
import { startApp } from "./app.ts";
import { runCommand } from "./command.ts";
import { readConfig } from "./config.ts";
import type { Minting } from "./development/mint.ts";
import { developmentMinting } from "./development/minting.ts";
import { type Started, startText } from "./development/start-text.ts";
import { createLog } from "./log.ts";
import { isWorker, superviseWorkers, tellStarted } from "./workers/supervisor.ts";

/** How long calls in flight may go on after a signal. */
const graceMs = 10_000;
/** How much longer a worker may take before it is killed. */
const workerMarginMs = 2_000;
/** A signal to the process group of `npm start` arrives twice: once directly, once passed on by npm. */
const repeatMs = 1_000;

await runCommand(async () => {
  const config = readConfig(process.env);
  const log = createLog(config.logLevel);
  const minting = developmentMinting(config);
  if (config.workers > 1 && !isWorker) {
    const supervisor = await superviseWorkers<Started>(config.workers, log);
    await announce(supervisor.started, minting, log);
    stopOnSignal(() => supervisor.stop(graceMs + workerMarginMs), log);
    return;
  }
  const app = await startApp(config, { log, developmentSecret: minting?.secret });
  const { publicUrl, internalUrl, database } = app;
  if (isWorker) tellStarted({ publicUrl, internalUrl, database });
  else await announce(app, minting, log);
  stopOnSignal(async () => {
    await app.stop(graceMs);
    return 0;
  }, log);
});

async function announce(started: Started, minting: Minting | undefined, log: Logger): Promise<void> {
  const { publicUrl, internalUrl, database } = started;
  if (minting === undefined) log.info({ publicUrl, internalUrl, database }, "listening");
  else process.stdout.write(await startText(started, minting));
}

/** Ends the process on a signal, with the exit code that `stop` resolves to; on a defect too, with code 1. */
function stopOnSignal(stop: () => Promise<number>, log: Logger): void {
  let firstAt: number | undefined;
  const begin = (reason: string, leastExitCode: number) => {
    if (firstAt !== undefined) {
      if (performance.now() - firstAt > repeatMs) process.exit(1);
      return;
    }
    firstAt = performance.now();
    log.info({ reason }, "stopping");
    stop().then(
      (exitCode) => process.exit(exitCode || leastExitCode),
      (failure: unknown) => {
        log.fatal({ err: failure }, "stopping failed");
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", () => begin("SIGTERM", 0));
  process.on("SIGINT", () => begin("SIGINT", 0));
  for (const event of ["unhandledRejection", "uncaughtException"]) {
    process.on(event, (failure) => {
      log.fatal({ err: failure }, event);
      begin(event, 1);
    });
  }
}
