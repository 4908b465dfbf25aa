import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace";

/** Makes the sampler of a name of `OTEL_TRACES_SAMPLER`; `ratio` is for those of trace ids. */
export function samplerOf(name: string, ratio: number): Sampler {
  const prefix = "parentbased_";
  if (name.startsWith(prefix))
    return new ParentBasedSampler({ root: samplerOf(name.slice(prefix.length), ratio) });
  if (name === "traceidratio") return new TraceIdRatioBasedSampler(ratio);
  return name === "always_off" ? new AlwaysOffSampler() : new AlwaysOnSampler();
}
