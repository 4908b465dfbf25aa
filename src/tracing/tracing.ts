import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
} from "@opentelemetry/resources";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type ReadableSpan,
  type Sampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import type { Logger } from "pino";
import type { TracingConfig } from "../config/tracing.ts";
import { CallSpans, newActiveSpans } from "./call-spans.ts";
import { databaseAttributes, StatementSpans } from "./statement-spans.ts";

/** The traces of a service. */
export interface Tracing {
  readonly calls: CallSpans;
  readonly statements: StatementSpans;
  /** Sends what is left; gives up after two seconds. */
  stop(): Promise<void>;
}

interface TracingOptions extends TracingConfig {
  /** Undefined: the embedded database. */
  readonly databaseUrl: string | undefined;
}

const stopMs = 2_000;

/** The version of the service. */
const serviceVersion: string = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
).version;

/** Starts tracing. Only this file loads OpenTelemetry's SDK: import it only when traces are configured. */
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

/**
 * Makes the provider, which sends spans in the background, in batches, from a queue of 2,048 that drops what does not fit.
 * An unreachable collector costs spans, never a call.
 */
function startProvider({ url, sampler, ratio }: TracingConfig, log: Logger): TracerProvider {
  return new TracerProvider({
    sampler: samplerOf(sampler, ratio),
    resource: defaultResource()
      .merge(resourceFromAttributes({ "service.name": "privacy-control", "service.version": serviceVersion }))
      .merge(detectResources({ detectors: [serviceInstanceIdDetector, envDetector] })),
    spanProcessors: [
      new BatchSpanProcessor({ exporter: new ReportingExporter(new OTLPTraceExporter({ url }), log) }),
    ],
  });
}

/** Logs when spans begin to be lost, and when they are delivered again. */
class ReportingExporter implements SpanExporter {
  readonly #exporter: SpanExporter;
  readonly #log: Logger;
  #failing = false;

  constructor(exporter: SpanExporter, log: Logger) {
    this.#exporter = exporter;
    this.#log = log;
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.#exporter.export(spans, (result) => {
      const failed = result.code !== ExportResultCode.SUCCESS;
      if (failed && !this.#failing) this.#log.warn({ err: result.error }, "traces cannot be delivered");
      if (!failed && this.#failing) this.#log.info("traces are delivered again");
      this.#failing = failed;
      // A failure would be reported once more, on the console.
      done({ code: ExportResultCode.SUCCESS });
    });
  }

  shutdown(): Promise<void> {
    return this.#exporter.shutdown();
  }

  async forceFlush(): Promise<void> {
    await this.#exporter.forceFlush?.();
  }
}

/** Makes the sampler of a name of `OTEL_TRACES_SAMPLER`; `ratio` is for those of trace ids. */
export function samplerOf(name: string, ratio: number): Sampler {
  const prefix = "parentbased_";
  if (name.startsWith(prefix))
    return new ParentBasedSampler({ root: samplerOf(name.slice(prefix.length), ratio) });
  if (name === "traceidratio") return new TraceIdRatioBasedSampler(ratio);
  return name === "always_off" ? new AlwaysOffSampler() : new AlwaysOnSampler();
}
