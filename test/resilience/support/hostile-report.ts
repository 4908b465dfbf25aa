/** What a run came to. It is good when nothing is a problem. */
export interface Report {
  /** What was done and measured. */
  readonly figures: Readonly<Record<string, string | number>>;
  /** What broke the promise. */
  readonly problems: readonly string[];
}

/** Collects the problems of a run; of many of one kind the first few are enough. */
export class Problems {
  readonly #byKind = new Map<string, string[]>();
  readonly #counts = new Map<string, number>();

  add(kind: string, what: string): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    const known = this.#byKind.get(kind) ?? [];
    if (known.length < 5) this.#byKind.set(kind, [...known, what]);
  }

  any(): boolean {
    return this.#counts.size > 0;
  }

  list(): string[] {
    return [...this.#byKind].flatMap(([kind, whats]) =>
      whats.map((what) => `${kind} (one of ${this.#counts.get(kind)}): ${what}`),
    );
  }
}
