import { Histogram, type Observations } from "./histogram.ts";
import { Counter, Gauge, type Registry } from "./library.ts";

/** A method as its descriptor names it. */
interface Method {
  readonly parent: { readonly typeName: string };
  readonly name: string;
}

/** How many, by their code. */
type Tally = Map<string, { calls: number }>;

/** What is known of the calls of one method over one protocol. */
interface Cell {
  readonly method: string;
  readonly protocol: string;
  readonly durations: Observations;
  readonly codes: Tally;
  readonly refusals: Tally;
}

/** The reasons for which calls are refused that might succeed later, as their label spells them. */
const refusalLabels: ReadonlyMap<string, string> = new Map([
  ["OVERLOADED", "overloaded"],
  ["RATE_LIMITED", "rate_limited"],
]);

/** The method of requests that reached none: an unknown path, a malformed request. */
const noMethod = "none";

/** In seconds. A check takes some tenths of a millisecond, a change some milliseconds, a statement 5 s at the most. */
const buckets = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/**
 * Counts calls, and how long they take. Labels are bounded: methods are those of the definitions, codes the canonical
 * ones; who calls, and about whom, is never a label.
 */
export class CallMetrics {
  readonly #cells = new Map<Method, Map<string, Cell>>();
  readonly #refused = new Map<string, Tally>();
  readonly #durations: Histogram<"method" | "protocol">;
  #inFlight = 0;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#durations = new Histogram({
      name: "privacy_control_call_duration_seconds",
      help: "How long calls took from their headers to the end of their handler, in seconds.",
      buckets,
      registry,
    });
    const addTo = (counter: InstanceType<typeof Counter<"method" | "protocol" | "code">>) =>
      this.#forEach((method, protocol, code, calls) => counter.inc({ method, protocol, code }, calls));
    new Counter({
      name: "privacy_control_calls_total",
      help: "Calls that ended, by their canonical code; method is none where a request reached no method.",
      labelNames: ["method", "protocol", "code"],
      registers,
      // Counted in plain numbers: the library's own counters take ten times as long for each call.
      collect() {
        this.reset();
        addTo(this);
      },
    });
    const cells = () => this.#allCells();
    new Counter({
      name: "privacy_control_refusals_total",
      help: "Calls that were refused for a limit, by its kind: overloaded (of the service), rate_limited (of the caller).",
      labelNames: ["method", "reason"],
      registers,
      collect() {
        this.reset();
        for (const { method, refusals } of cells())
          for (const [reason, { calls }] of refusals) this.inc({ method, reason }, calls);
      },
    });
    const inFlight = () => this.#inFlight;
    new Gauge({
      name: "privacy_control_calls_in_flight",
      help: "Calls that have begun and not ended.",
      registers,
      collect() {
        this.set(inFlight());
      },
    });
  }

  /** A call begins. */
  began(): void {
    this.#inFlight++;
  }

  /** A call ends that had begun. */
  ended(method: Method, protocol: string, code: string, seconds: number, reason?: string): void {
    this.#inFlight--;
    const cell = this.#cellOf(method, protocol);
    count(cell.codes, code);
    cell.durations.observe(seconds);
    const refusal = reason && refusalLabels.get(reason);
    if (refusal) count(cell.refusals, refusal);
  }

  /** A call of a method is refused before it begins. */
  overloaded(method: Method, protocol: string): void {
    const cell = this.#cellOf(method, protocol);
    count(cell.codes, "resource_exhausted");
    count(cell.refusals, "overloaded");
  }

  /** A request is answered that reached no method. */
  refused(protocol: string, code: string): void {
    const codes: Tally = this.#refused.get(protocol) ?? new Map();
    this.#refused.set(protocol, codes);
    count(codes, code);
  }

  #cellOf(method: Method, protocol: string): Cell {
    const found = this.#cells.get(method)?.get(protocol);
    if (found !== undefined) return found;
    const labels = { method: `${method.parent.typeName}/${method.name}`, protocol: labelOf(protocol) };
    const cell = {
      ...labels,
      durations: this.#durations.child(labels),
      codes: new Map(),
      refusals: new Map(),
    };
    const protocols = this.#cells.get(method) ?? new Map<string, Cell>();
    this.#cells.set(method, protocols.set(protocol, cell));
    return cell;
  }

  *#allCells(): Iterable<Cell> {
    for (const protocols of this.#cells.values()) yield* protocols.values();
  }

  #forEach(add: (method: string, protocol: string, code: string, calls: number) => void): void {
    for (const { method, protocol, codes } of this.#allCells())
      for (const [code, { calls }] of codes) add(method, protocol, code, calls);
    for (const [protocol, codes] of this.#refused) {
      for (const [code, { calls }] of codes) add(noMethod, labelOf(protocol), code, calls);
    }
  }
}

function count(codes: Tally, code: string): void {
  const tally = codes.get(code);
  if (tally === undefined) codes.set(code, { calls: 1 });
  else tally.calls++;
}

function labelOf(protocol: string): string {
  return protocol.replace("-", "_");
}
