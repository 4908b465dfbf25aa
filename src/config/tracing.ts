import { checked, httpUrl, oneOf } from "./validators.ts";

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

const ratio = checked(
  "a number from 0 to 1",
  (value) => {
    const number = Number(value);
    return number >= 0 && number <= 1 ? number : undefined;
  },
  String,
);

/** OpenTelemetry's own variables; those that are missing here are read by its libraries. */
export const tracingVariables = {
  OTEL_SDK_DISABLED: oneOf("true", "false")({ default: "false" }),
  OTEL_EXPORTER_OTLP_ENDPOINT: httpUrl({ default: undefined }),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: httpUrl({ default: undefined }),
  OTEL_TRACES_SAMPLER: oneOf(...samplers)({ default: "parentbased_always_on" }),
  OTEL_TRACES_SAMPLER_ARG: ratio({ default: 1 }),
};

interface TracingEnvironment {
  readonly OTEL_SDK_DISABLED: "true" | "false";
  readonly OTEL_EXPORTER_OTLP_ENDPOINT: URL | undefined;
  readonly OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: URL | undefined;
  readonly OTEL_TRACES_SAMPLER: TracingConfig["sampler"];
  readonly OTEL_TRACES_SAMPLER_ARG: number;
}

/** Undefined when there is nowhere to send traces to. */
export function tracingConfig(env: TracingEnvironment): TracingConfig | undefined {
  const base = env.OTEL_EXPORTER_OTLP_ENDPOINT?.href.replace(/\/?$/, "/v1/traces");
  const url = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT?.href ?? base;
  if (url === undefined || env.OTEL_SDK_DISABLED === "true") return undefined;
  return Object.freeze({ url, sampler: env.OTEL_TRACES_SAMPLER, ratio: env.OTEL_TRACES_SAMPLER_ARG });
}
