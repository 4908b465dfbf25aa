import type { Logger } from "pino";
import { type App, startApp } from "./app.ts";
import { runCommand } from "./command.ts";
import { readConfig } from "./config.ts";
import { developmentMinting } from "./development/minting.ts";
import { startText } from "./development/start-text.ts";
import { createLog } from "./log.ts";

/** How long calls in flight may go on after a signal. */
const graceMs = 10_000;
/** A signal to the process group of `npm start` arrives twice: once directly, once passed on by npm. */
const repeatMs = 1_000;

await runCommand(async () => {
  const config = readConfig(process.env);
  const log = createLog(config.logLevel);
  const minting = developmentMinting(config);
  const app = await startApp(config, { log, developmentSecret: minting?.secret });
  if (minting === undefined) {
    log.info({ publicUrl: app.publicUrl, internalUrl: app.internalUrl, database: app.database }, "listening");
  } else {
    process.stdout.write(await startText(app, minting));
  }
  stopOnSignal(app, log);
});

function stopOnSignal(app: App, log: Logger): void {
  let firstAt: number | undefined;
  const stop = (reason: string, exitCode: number) => {
    if (firstAt !== undefined) {
      if (performance.now() - firstAt > repeatMs) process.exit(1);
      return;
    }
    firstAt = performance.now();
    log.info({ reason }, "stopping");
    app.stop(graceMs).then(
      () => process.exit(exitCode),
      (failure: unknown) => {
        log.fatal({ err: failure }, "stopping failed");
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", () => stop("SIGTERM", 0));
  process.on("SIGINT", () => stop("SIGINT", 0));
  for (const event of ["unhandledRejection", "uncaughtException"]) {
    process.on(event, (failure) => {
      log.fatal({ err: failure }, event);
      stop(event, 1);
    });
  }
}
