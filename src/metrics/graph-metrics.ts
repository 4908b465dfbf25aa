import { Counter, Gauge, type Registry } from "@prometheus-io/client";

/** The relationship graph in memory. */
export interface RelationshipGraphStats {
  readonly mode: string;
  readonly keepsFollows: boolean;
  /** How old what it says may be, in milliseconds; infinite while it says nothing. */
  readonly ageMs: number;
  readonly size: { readonly users: number; readonly edges: number; readonly bytes: number };
  readonly counts: {
    readonly statements: number;
    readonly changes: number;
    readonly loads: number;
    readonly differences: number;
  };
}

export interface GraphMetricsOptions {
  readonly registry: Registry;
  /** Every mode that the graph can have. */
  readonly modes: readonly string[];
  readonly maxBytes: number;
}

/** Shows the relationship graph. */
export function showGraph(
  graph: RelationshipGraphStats,
  { registry, modes, maxBytes }: GraphMetricsOptions,
): void {
  new Gauge({
    name: "privacy_control_graph_mode",
    help: "1 for the mode that the relationship graph is in, 0 for the others. It answers while it is ready.",
    labelNames: ["mode"],
    registers: [registry],
    collect() {
      for (const mode of modes) this.set({ mode }, graph.mode === mode ? 1 : 0);
    },
  });
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `privacy_control_graph_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  gauge("follows", "1 while follows are in the relationship graph, else 0.", () =>
    Number(graph.keepsFollows),
  );
  gauge("users", "Users in the relationship graph.", () => graph.size.users);
  gauge("edges", "Blocks, mutes and follows in the relationship graph.", () => graph.size.edges);
  gauge("bytes", "Memory of the relationship graph, in bytes.", () => graph.size.bytes);
  gauge("max_bytes", "The most memory that the relationship graph may take, in bytes.", () => maxBytes);
  gauge(
    "age_seconds",
    "How old what the relationship graph says may be, in seconds; infinite while it says nothing.",
    () => graph.ageMs / 1_000,
  );
  const counter = (name: string, help: string, read: () => number) =>
    new Counter({
      name: `privacy_control_graph_${name}_total`,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  counter(
    "statements",
    "Statements that brought the relationship graph up to date.",
    () => graph.counts.statements,
  );
  counter("changes", "Changes that were applied to the relationship graph.", () => graph.counts.changes);
  counter(
    "loads",
    "Loads of the relationship graph from the tables, the first one too.",
    () => graph.counts.loads,
  );
  counter(
    "differences",
    "Decisions of the relationship graph that differed from the tables when they were compared.",
    () => graph.counts.differences,
  );
}
