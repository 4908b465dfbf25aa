import { createRequire } from "node:module";
import type * as library from "@prometheus-io/client";

const require = createRequire(import.meta.url);

/**
 * A part of the metrics library by its file: the entry point loads OpenTelemetry's API too, which nobody needs who
 * did not ask for traces.
 */
const part = (name: string) => require(`@prometheus-io/client/lib/${name}.js`);

export type Registry = library.Registry<library.PrometheusContentType>;

export const Registry = part("registry") as typeof library.Registry;
export const Counter = part("counter") as typeof library.Counter;
export const Gauge = part("gauge") as typeof library.Gauge;

/** Adds the named figures of the process to a registry. */
export function addProcessPart(name: string, registry: Registry): void {
  part(`metrics/${name}`)(registry, { eventLoopMonitoringPrecision: 10 });
}
