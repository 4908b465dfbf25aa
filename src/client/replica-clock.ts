/** The two clocks differ by less while neither is set. */
const roundingMs = 10;

/**
 * Milliseconds that pass on this machine: by the monotonic clock, and by the wall clock where that shows more, as after the
 * machine was suspended. It never goes back, also when the wall clock is set back.
 */
export class ElapsedClock {
  /** By how much the wall clock is ahead of the monotonic one, had it never been set back. */
  #lead = Number.NEGATIVE_INFINITY;
  #setBackMs = 0;

  now(): number {
    const monotonic = performance.now();
    const lead = Date.now() + this.#setBackMs - monotonic;
    if (lead > this.#lead) this.#lead = lead;
    // Later jumps forward are to count from here.
    else if (this.#lead - lead > roundingMs) this.#setBackMs += this.#lead - lead;
    return monotonic + this.#lead;
  }
}

/**
 * When the database's clock showed a time, by the clock of this machine. It needs no clocks that agree: one answer of the
 * service tells that the database's clock showed a time after the request was sent.
 */
export class DatabaseClock {
  #sentAt = 0;
  #shownMicros: number | undefined;

  /** Whether `earliestAt` has something to go by. */
  get isKnown(): boolean {
    return this.#shownMicros !== undefined;
  }

  /** The database's clock showed a time, in microseconds since 1970, after `sentAt` of this machine's clock. */
  compare(sentAt: number, shownMicros: number): void {
    this.#sentAt = sentAt;
    this.#shownMicros = shownMicros;
  }

  /** The earliest moment of this machine's clock at which the database's clock can have shown a time. */
  earliestAt(micros: number): number {
    if (this.#shownMicros === undefined) return Number.NEGATIVE_INFINITY;
    return this.#sentAt + (micros - this.#shownMicros) / 1_000;
  }
}
