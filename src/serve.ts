import { type App, startApp } from "./app.ts";
import { runCommand } from "./command.ts";
import { assertPortsAvailable } from "./composition/start-checks.ts";
import { effectiveVariables, likelyTypos, readConfig } from "./config/config.ts";
import { ignoredValues } from "./config/tracing.ts";
import { startText } from "./development/start-text.ts";
import { developmentIssuer } from "./development/token-issuer.ts";
import { createLog } from "./log.ts";
import { stopOnSignal } from "./stop-on-signal.ts";

await runCommand(async () => {
  const config = readConfig(process.env);
  const log = createLog(config.logLevel);
  for (const miss of likelyTypos(process.env)) log.warn(miss, "an environment variable is unknown");
  for (const ignored of ignoredValues(process.env))
    log.warn(ignored, "the value of an environment variable is not supported");
  log.info({ variables: effectiveVariables(process.env) }, "configuration");
  const stopsWithProcess = stopOnSignal({ drainDelayMs: config.drainDelayMs, log });
  let renew: App["renew"];
  // Before the start: a certificate may be renewed at any moment, and an unhandled SIGHUP ends the process.
  process.on("SIGHUP", () => void renew?.());
  await assertPortsAvailable(config);
  const issuer = developmentIssuer(config);
  const app = await startApp(config, { log, developmentSecret: issuer?.secret });
  stopsWithProcess(app);
  renew = app.renew;
  const { publicUrl, internalUrl, adminUrl, database } = app;
  const started = { publicUrl, internalUrl, adminUrl, database };
  if (issuer === undefined) log.info(started, "listening");
  else process.stdout.write(await startText(started, issuer, config.tls));
});
