import { setTimeout } from "node:timers/promises";
import type { Logger } from "pino";
import { newActiveSpans } from "./active.ts";
import { CallSpans } from "./call-spans.ts";
import { databaseAttributes } from "./database.ts";
import { type ProviderOptions, serviceVersion, startProvider } from "./provider.ts";
import { StatementSpans } from "./statement-spans.ts";

/** The traces of a service. */
export interface Tracing {
  readonly calls: CallSpans;
  readonly statements: StatementSpans;
  /** Sends what is left; gives up after two seconds. */
  stop(): Promise<void>;
}

interface TracingOptions extends ProviderOptions {
  /** Undefined: the embedded database. */
  readonly databaseUrl: string | undefined;
}

const stopMs = 2_000;

/** Begins to make traces. Nothing else loads OpenTelemetry: import this file only when there are traces to be made. */
export function startTracing({ databaseUrl, ...options }: TracingOptions, log: Logger): Tracing {
  const provider = startProvider(options, log);
  const tracer = provider.getTracer("privacy-control", serviceVersion);
  const active = newActiveSpans();
  return {
    calls: new CallSpans(tracer, active),
    statements: new StatementSpans(tracer, active, databaseAttributes(databaseUrl)),
    async stop() {
      const sent = provider
        .shutdown()
        .catch((err: unknown) => log.warn({ err }, "traces were lost at the end"));
      const enough = new AbortController();
      await Promise.race([sent, setTimeout(stopMs, undefined, { signal: enough.signal }).catch(() => {})]);
      enough.abort();
    },
  };
}
