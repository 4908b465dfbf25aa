import { setTimeout } from "node:timers/promises";
import type { Logger } from "pino";
import { newActiveSpans } from "./active.ts";
import { CallSpans } from "./call-spans.ts";
import { type ProviderOptions, startProvider } from "./provider.ts";
import { StatementSpans } from "./statement-spans.ts";

/** The traces of a service. */
export interface Tracing {
  readonly calls: CallSpans;
  readonly statements: StatementSpans;
  /** Sends what is left; gives up after two seconds. */
  stop(): Promise<void>;
}

const stopMs = 2_000;

/** Begins to make traces. Nothing else loads OpenTelemetry: import this file only when there are traces to be made. */
export function startTracing(options: ProviderOptions, log: Logger): Tracing {
  const provider = startProvider(options, log);
  const tracer = provider.getTracer("privacy-control");
  const active = newActiveSpans();
  return {
    calls: new CallSpans(tracer, active),
    statements: new StatementSpans(tracer, active),
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
