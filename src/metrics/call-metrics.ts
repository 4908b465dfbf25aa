import { Counter, Gauge, Histogram, type PrometheusContentType, type Registry } from "@prometheus-io/client";
import type { CallCounter } from "../call/observer.ts";

/** A method as its descriptor names it. */
interface Method {
  readonly parent: { readonly typeName: string };
  readonly name: string;
}

/** The reasons of a rejection for a limit, and how the label spells them. */
const rejectionLabels: ReadonlyMap<string, string> = new Map([
  ["OVERLOADED", "overloaded"],
  ["RATE_LIMITED", "rate_limited"],
]);

/** The label of requests that reached no method: an unknown path, a malformed request. */
const noMethod = "none";

/** In seconds. A check takes tenths of a millisecond, a change some milliseconds, a statement 5 s at the most. */
const buckets = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/**
 * Counts calls, and measures how long they take. The number of label values is bounded: methods are those of the
 * definitions, codes the canonical ones. A label never says who calls, or about whom.
 */
export class CallMetrics implements CallCounter {
  readonly #calls: Counter<"method" | "protocol" | "code">;
  readonly #rejections: Counter<"method" | "reason">;
  readonly #durations: Histogram<"method" | "protocol">;
  #inFlight = 0;

  constructor(registry: Registry<PrometheusContentType>) {
    const registers = [registry];
    this.#durations = new Histogram({
      name: "privacy_control_call_duration_seconds",
      help: "Duration of calls, from the request headers to the end of the handler, in seconds.",
      labelNames: ["method", "protocol"],
      buckets,
      registers,
    });
    this.#calls = new Counter({
      name: "privacy_control_calls_total",
      help: "Calls that ended, by canonical code. The method is none for requests that reached no method.",
      labelNames: ["method", "protocol", "code"],
      registers,
    });
    this.#rejections = new Counter({
      name: "privacy_control_refusals_total",
      help: "Calls rejected for a limit: overloaded (of the service) or rate_limited (of the caller).",
      labelNames: ["method", "reason"],
      registers,
    });
    const inFlight = () => this.#inFlight;
    new Gauge({
      name: "privacy_control_calls_in_flight",
      help: "Calls that have started and not ended.",
      registers,
      collect() {
        this.set(inFlight());
      },
    });
  }

  /** A call starts. */
  began(): void {
    this.#inFlight++;
  }

  /** A call ends; `seconds` is undefined for one that did not start here, since it waited for something to happen. */
  ended(method: Method, protocol: string, code: string, seconds: number | undefined, reason?: string): void {
    const labels = { method: nameOf(method), protocol: labelOf(protocol) };
    this.#calls.inc({ ...labels, code });
    if (seconds !== undefined) {
      this.#inFlight--;
      this.#durations.observe(labels, seconds);
    }
    const rejection = reason && rejectionLabels.get(reason);
    if (rejection) this.#rejections.inc({ method: labels.method, reason: rejection });
  }

  /** A call of a method is rejected before it starts. */
  overloaded(method: Method, protocol: string): void {
    const name = nameOf(method);
    this.#calls.inc({ method: name, protocol: labelOf(protocol), code: "resource_exhausted" });
    this.#rejections.inc({ method: name, reason: "overloaded" });
  }

  /** A request is answered that reached no method. */
  rejected(protocol: string, code: string): void {
    this.#calls.inc({ method: noMethod, protocol: labelOf(protocol), code });
  }
}

function nameOf({ parent, name }: Method): string {
  return `${parent.typeName}/${name}`;
}

function labelOf(protocol: string): string {
  return protocol === "grpc-web" ? "grpc_web" : protocol;
}
