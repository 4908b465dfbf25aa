import { httpUrl, kind, type Values } from "./variables.ts";

const samplers = [
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio",
] as const;

/** Where traces go, and which calls have one. */
export interface TracingConfig {
  /** Takes OTLP over HTTP, in protobuf. */
  readonly url: string;
  readonly sampler: (typeof samplers)[number];
  /** The share of traces that the `traceidratio` samplers keep. */
  readonly ratio: number;
}

/**
 * A variable that OpenTelemetry defines. Its specification demands that an unknown value is ignored with a warning, not
 * refused. `parse` returns undefined for such a value; then `fallback` is used, as for an unset variable.
 */
function lenient<const T extends string | number>(parse: (value: string) => T | undefined, fallback: T) {
  const variable = kind<T>("any text", (value) => parse(value) ?? fallback, String);
  return { variable: variable(fallback), parse, fallback };
}

/** Enumerations are read in any case. */
const oneOf =
  <const T extends string>(...choices: T[]) =>
  (value: string) =>
    choices.find((choice) => choice === value.trim().toLowerCase());

function ratio(value: string): number | undefined {
  const number = value.trim() === "" ? Number.NaN : Number(value);
  return number >= 0 && number <= 1 ? number : undefined;
}

const lenientVariables = {
  OTEL_SDK_DISABLED: lenient<"true" | "false">(oneOf("true", "false"), "false"),
  OTEL_TRACES_EXPORTER: lenient<"otlp" | "none">(oneOf("otlp", "none"), "otlp"),
  OTEL_EXPORTER_OTLP_PROTOCOL: lenient(oneOf("http/protobuf"), "http/protobuf"),
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: lenient(oneOf("http/protobuf"), "http/protobuf"),
  OTEL_TRACES_SAMPLER: lenient<TracingConfig["sampler"]>(oneOf(...samplers), "parentbased_always_on"),
  OTEL_TRACES_SAMPLER_ARG: lenient<number>(ratio, 1),
};

/** OpenTelemetry's own variables; those that are missing here are read by its libraries. */
export const tracingVariables = {
  OTEL_EXPORTER_OTLP_ENDPOINT: httpUrl(),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: httpUrl(),
  OTEL_SDK_DISABLED: lenientVariables.OTEL_SDK_DISABLED.variable,
  OTEL_TRACES_EXPORTER: lenientVariables.OTEL_TRACES_EXPORTER.variable,
  OTEL_EXPORTER_OTLP_PROTOCOL: lenientVariables.OTEL_EXPORTER_OTLP_PROTOCOL.variable,
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: lenientVariables.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL.variable,
  OTEL_TRACES_SAMPLER: lenientVariables.OTEL_TRACES_SAMPLER.variable,
  OTEL_TRACES_SAMPLER_ARG: lenientVariables.OTEL_TRACES_SAMPLER_ARG.variable,
};

/** Undefined when there is nowhere to send traces to, or nothing is to be sent. */
export function tracingConfig(env: Values<typeof tracingVariables>): TracingConfig | undefined {
  const base = env.OTEL_EXPORTER_OTLP_ENDPOINT?.href.replace(/\/?$/, "/v1/traces");
  const url = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT?.href ?? base;
  if (url === undefined || env.OTEL_SDK_DISABLED === "true" || env.OTEL_TRACES_EXPORTER === "none")
    return undefined;
  return Object.freeze({ url, sampler: env.OTEL_TRACES_SAMPLER, ratio: env.OTEL_TRACES_SAMPLER_ARG });
}

/** A variable whose value is not supported, and the value that is used instead. */
interface IgnoredValue {
  readonly name: string;
  readonly value: string;
  readonly used: string;
}

/** The variables of OpenTelemetry whose values are ignored. */
export function ignoredValues(environment: NodeJS.ProcessEnv): IgnoredValue[] {
  return Object.entries(lenientVariables).flatMap(([name, { parse, fallback }]) => {
    const value = environment[name] ?? "";
    return value === "" || parse(value) !== undefined ? [] : [{ name, value, used: String(fallback) }];
  });
}
