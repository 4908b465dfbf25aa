/** What a mute can cover. */
export const muteScopes = ["CONTENT", "NOTIFICATIONS"] as const;
export type MuteScope = (typeof muteScopes)[number];

const minute = 60_000_000n;

/** When a block or mute is to end, seen from the moment of the step that says so. */
export const ends = ["never", "too soon", "in a minute", "in an hour", "in ten years", "too late"] as const;
export type End = (typeof ends)[number];

/** The time of an end, in microseconds since 1970; null for never. */
export function timeOf(end: End, now: bigint): bigint | null {
  switch (end) {
    case "never":
      return null;
    case "too soon":
      return now + minute - 1n;
    case "in a minute":
      return now + minute;
    case "in an hour":
      return now + 60n * minute;
    case "in ten years":
      return tenYearsAfter(now);
    case "too late":
      return tenYearsAfter(now) + 1n;
  }
}

/** The same day and time ten years later; of a 29 February it is the 28th. */
function tenYearsAfter(now: bigint): bigint {
  const micros = now % 1_000n;
  const date = new Date(Number((now - micros) / 1_000n));
  const day = date.getUTCDate();
  date.setUTCFullYear(date.getUTCFullYear() + 10);
  if (date.getUTCDate() !== day) date.setUTCDate(0);
  return BigInt(date.getTime()) * 1_000n + micros;
}

/** A follow, a block or a mute. Times are in microseconds since 1970. */
export interface Edge {
  readonly createdAt: bigint;
  /** From then on it does not exist; null: never. */
  readonly expiresAt: bigint | null;
  /** What a mute covers; empty for everything. */
  readonly scopes: readonly MuteScope[];
}

/** An edge as the answers of the service are compared: without its time where an answer has none. */
export function describeEdge(kind: string, { expiresAt, scopes }: Edge, createdAt?: bigint): string {
  const since = createdAt === undefined ? "" : ` since ${createdAt}`;
  return `${kind}${since} until ${expiresAt ?? "ever"} of ${[...scopes].sort().join() || "all"}`;
}

/** The edges of one kind between pairs of users; those that have ended are not among them. */
export class Edges {
  readonly #now: () => bigint;
  readonly #edges = new Map<string, Edge & { readonly by: number; readonly to: number }>();

  constructor(now: () => bigint) {
    this.#now = now;
  }

  get(by: number, to: number): Edge | undefined {
    return this.all().find((edge) => edge.by === by && edge.to === to);
  }

  has(by: number, to: number): boolean {
    return this.get(by, to) !== undefined;
  }

  put(by: number, to: number, edge: Edge): void {
    this.#edges.set(`${by} ${to}`, { ...edge, by, to });
  }

  delete(by: number, to: number): void {
    this.#edges.delete(`${by} ${to}`);
  }

  /** Deletes every edge that names a user. */
  forget(user: number): void {
    for (const [key, { by, to }] of this.#edges) if (by === user || to === user) this.#edges.delete(key);
  }

  all() {
    return [...this.#edges.values()].filter(({ expiresAt }) => expiresAt === null || expiresAt > this.#now());
  }
}

/** What an import makes of an edge that holds: it never becomes shorter or narrower. */
export function merge(held: Edge, given: Edge): Edge {
  const isWhole = held.scopes.length === 0 || given.scopes.length === 0;
  return {
    createdAt: held.createdAt,
    expiresAt: later(held.expiresAt, given.expiresAt),
    scopes: isWhole ? [] : [...new Set([...held.scopes, ...given.scopes])],
  };
}

/** The later of two times; never, when one of them is. */
export function later(a: bigint | null, b: bigint | null): bigint | null {
  if (a === null || b === null) return null;
  return a > b ? a : b;
}
