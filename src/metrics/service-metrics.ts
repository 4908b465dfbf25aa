import { Counter, Gauge, type Registry } from "./library.ts";

/** A port of the service. */
interface Port {
  /** Connections that are open. */
  connections(): number;
  /** Connections that were refused since the start because too many were open. */
  refusedConnections(): number;
  /** Connections that were closed since the start to keep within a bound, by the reason. */
  evictedConnections(): Readonly<Record<string, number>>;
}

/** Shows the connections of the named listeners at each scrape. */
export function watchListeners(registry: Registry, listeners: Readonly<Record<string, Port>>): void {
  const registers = [registry];
  new Gauge({
    name: "privacy_control_connections",
    help: "Open connections of clients.",
    labelNames: ["listener"],
    registers,
    collect() {
      for (const [listener, port] of Object.entries(listeners)) this.set({ listener }, port.connections());
    },
  });
  new Counter({
    name: "privacy_control_refused_connections_total",
    help: "Connections of clients that were refused because too many were open.",
    labelNames: ["listener"],
    registers,
    collect() {
      this.reset();
      for (const [listener, port] of Object.entries(listeners))
        this.inc({ listener }, port.refusedConnections());
    },
  });
  new Counter({
    name: "privacy_control_evicted_connections_total",
    help: "Connections of clients that were closed: idle to make room for a new one, or for the memory they took.",
    labelNames: ["listener", "reason"],
    registers,
    collect() {
      this.reset();
      for (const [listener, port] of Object.entries(listeners))
        for (const [reason, count] of Object.entries(port.evictedConnections()))
          this.inc({ listener, reason }, count);
    },
  });
}

/** Shows how many calls the named listeners admit at once now. */
export function watchConcurrencyLimits(
  registry: Registry,
  limiters: Readonly<Record<string, { readonly limit: number }>>,
): void {
  new Gauge({
    name: "privacy_control_concurrency_limit",
    help: "The most calls in flight that the adaptive limit allows now.",
    labelNames: ["listener"],
    registers: [registry],
    collect() {
      for (const [listener, { limit }] of Object.entries(limiters)) this.set({ listener }, limit);
    },
  });
}

/** Shows at each scrape whether the service can do its work. */
export function watchReadiness(registry: Registry, ready: () => boolean): void {
  new Gauge({
    name: "privacy_control_ready",
    help: "1 when the service can do its work, else 0.",
    registers: [registry],
    collect() {
      this.set(ready() ? 1 : 0);
    },
  });
}
