/** How long callers may wait for a place, in milliseconds. */
export interface Patience {
  /**
   * In a burst, from its beginning: it comes when a place has been free for as long as this. In a line that moves on,
   * from when somebody last was let in who had waited for less than half of `standingMs`; one moves on when nobody has
   * waited in vain for as long as this.
   */
  readonly burstMs: number;
  /**
   * Afterwards, when those who come wait in vain as a rule. Who comes while as many wait as there are places does not
   * wait at all.
   */
  readonly standingMs: number;
}

/** Lets a caller in, in `entered`, or ends its wait. */
interface Waiter {
  readonly since: number;
  readonly enter: () => void;
}

/**
 * A line before a number of places, first come, first served. A burst may wait; a line that stands is kept short, so
 * that each caller learns soon whether it will be served (the "controlled delay" of Maurer, Fail at Scale, 2015). A line
 * that only is busy is none that stands: a database that hesitates for a moment fails nobody.
 */
export class WaitingLine {
  readonly #patience: Patience;
  readonly #now: () => number;
  readonly #places: number;
  readonly #waiting = new Set<Waiter>();
  readonly #idle: (() => void)[] = [];
  #taken = 0;
  /** When a place came free, after none was. */
  #freeSince = Number.NEGATIVE_INFINITY;
  #burstAt = 0;
  #inVainAt = Number.NEGATIVE_INFINITY;

  constructor(places: number, patience: Patience, now: () => number = () => performance.now()) {
    this.#places = places;
    this.#patience = patience;
    this.#now = now;
  }

  /** How many callers wait. */
  get length(): number {
    return this.#waiting.size;
  }

  /**
   * Waits for a place and returns true, false when that took too long or `signal` was aborted. Who gets a place gives
   * it back by `leave`.
   */
  async enter(signal?: AbortSignal): Promise<boolean> {
    if (this.#taken < this.#places) {
      this.#taken++;
      if (this.#taken === this.#places) this.#full();
      return true;
    }
    if (signal?.aborted) return false;
    if (!this.#isFull()) return this.#wait(signal);
    this.#inVainAt = this.#now();
    return false;
  }

  /** Gives a place back: to the one who has waited longest. */
  leave(): void {
    const [first] = this.#waiting;
    if (first !== undefined) {
      const now = this.#now();
      const { burstMs, standingMs } = this.#patience;
      const movesOn = now - this.#inVainAt >= burstMs;
      if (movesOn && now - first.since < standingMs / 2) this.#burstAt = now;
      first.enter();
      return;
    }
    if (this.#taken === this.#places) this.#freeSince = this.#now();
    this.#taken--;
    if (this.#taken === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Waits until nobody has a place. */
  async idle(): Promise<void> {
    if (this.#taken > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #full(): void {
    const now = this.#now();
    if (now - this.#freeSince >= this.#patience.burstMs) this.#burstAt = now;
  }

  /** Whether the line is as long as one may be whose last could not wait as in a burst. */
  #isFull(): boolean {
    return this.#waiting.size >= this.#places && this.#waitMs(this.#now()) === this.#patience.standingMs;
  }

  /** How long one who comes now may wait. */
  #waitMs(now: number): number {
    const { burstMs, standingMs } = this.#patience;
    return Math.max(standingMs, this.#burstAt + burstMs - now);
  }

  async #wait(signal: AbortSignal | undefined): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const since = this.#now();
    const waiter = { since, enter: () => end(true) };
    const giveUp = () => end(false);
    const timer = setTimeout(() => {
      this.#inVainAt = this.#now();
      giveUp();
    }, this.#waitMs(since));
    signal?.addEventListener("abort", giveUp);
    const end = (entered: boolean) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", giveUp);
      this.#waiting.delete(waiter);
      resolve(entered);
    };
    this.#waiting.add(waiter);
    return promise;
  }
}
