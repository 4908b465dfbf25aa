import { startApp } from "./app.ts";
import { runCommand } from "./command.ts";
import { assertPortsAvailable } from "./composition/ports.ts";
import { ignoredValues } from "./config/tracing.ts";
import { effectiveVariables, nearMisses, readConfig } from "./config.ts";
import { developmentMinting } from "./development/minting.ts";
import { type Started, startText } from "./development/start-text.ts";
import { openAdminListener } from "./http/admin-listener.ts";
import { createLog } from "./log.ts";
import { addUp, handOver } from "./metrics/workers.ts";
import { stopOnSignal } from "./stop-on-signal.ts";
import { isWorker, superviseWorkers, tellStarted } from "./workers/supervisor.ts";

await runCommand(async () => {
  const config = readConfig(process.env);
  const log = createLog(config.logLevel);
  if (!isWorker) {
    for (const miss of nearMisses(process.env)) log.warn(miss, "an environment variable is unknown");
    for (const ignored of ignoredValues(process.env))
      log.warn(ignored, "the value of an environment variable is not supported");
    log.info({ variables: effectiveVariables(process.env) }, "configuration");
  }
  const stopsWithProcess = stopOnSignal({ drainDelayMs: config.drainDelayMs, log });
  let renew = () => {};
  // First of all: a certificate may be renewed at any moment, and an unhandled SIGHUP ends the process.
  process.on("SIGHUP", () => renew());
  // Workers share the ports that their supervisor has checked.
  if (!isWorker) await assertPortsAvailable(config);
  const minting = developmentMinting(config);
  const announce = async ({ publicUrl, internalUrl, adminUrl, database }: Started) => {
    const started = { publicUrl, internalUrl, adminUrl, database };
    if (minting === undefined) log.info(started, "listening");
    else process.stdout.write(await startText(started, minting, config.tls));
  };
  if (config.workers > 1 && !isWorker) {
    const admin = await openAdminListener({ ...config.admin, ...addUp(), log });
    const supervisor = superviseWorkers<Omit<Started, "adminUrl">>(config.workers, log);
    // Before they have started: they are not to outlive this process.
    stopsWithProcess(supervisor);
    renew = () => supervisor.renew();
    const started = await supervisor.started.catch(async (failure) => {
      await admin.close(0);
      throw failure;
    });
    await announce({ ...started, adminUrl: admin.url });
    return;
  }
  const app = await startApp(config, {
    log,
    developmentSecret: minting?.secret,
    handOver: isWorker ? handOver : undefined,
  });
  stopsWithProcess(app);
  renew = () => void app.renew?.();
  const { publicUrl, internalUrl, adminUrl, database } = app;
  if (adminUrl === undefined) tellStarted({ publicUrl, internalUrl, database });
  else await announce({ publicUrl, internalUrl, adminUrl, database });
});
