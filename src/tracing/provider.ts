import { readFileSync } from "node:fs";
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
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanExporter,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import type { Logger } from "pino";
import { samplerOf } from "./sampler.ts";

/** Where spans go, and which are kept. */
export interface ProviderOptions {
  readonly url: string;
  readonly sampler: string;
  readonly ratio: number;
}

/** The version of the service. */
export const serviceVersion: string = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
).version;

/**
 * Makes what sends spans: in the background, in batches, from a queue of 2,048 that drops what does not fit. A
 * collector that cannot be reached costs spans, never a call.
 */
export function startProvider({ url, sampler, ratio }: ProviderOptions, log: Logger): TracerProvider {
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

/** Tells the log when spans begin to be lost, and when they arrive again. */
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
