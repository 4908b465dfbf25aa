import { Queue, type Queued } from "../collections/queue.ts";

/** How long callers may wait for a place, in milliseconds. */
export interface Patience {
  /**
   * In a burst, from its beginning: it comes when a place has been free for as long as this. In a line that moves on,
   * from when somebody last was let in who had waited for less than half of `standingMs`; one moves on when nobody has
   * waited in vain for as long as this.
   */
  readonly burstMs: number;
  /**
   * Afterwards, when those who come wait in vain as a rule. Who comes to a line that takes longer, or nearly, does not
   * wait at all.
   */
  readonly standingMs: number;
}

/** The mean step of a line remembers about so many. */
const memory = 16;
/**
 * Who is expected to be let in within a part of its patience is not sent away: even if the line halts for a moment, it
 * most likely will be. When somebody has waited in vain even so, a smaller part is relied on for a while.
 */
const surely = { most: 1 / 3, inVain: 1 / 2, forgottenMs: 30_000 };

/** Lets a caller in, in `entered`, or ends its wait. */
interface Waiter extends Queued<Waiter> {
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
  readonly #waiting = new Queue<Waiter>();
  readonly #idle: (() => void)[] = [];
  #taken = 0;
  /** When a place came free, after none was. */
  #freeSince = Number.NEGATIVE_INFINITY;
  #burstAt = 0;
  #inVainAt = Number.NEGATIVE_INFINITY;
  /** The part of the patience that was relied on since somebody waited in vain, and when that was. */
  #surely: number = surely.most;
  #unsureAt = Number.NEGATIVE_INFINITY;
  /** From one who is let in to the next, the mean of late; and when the last one was, while others waited. */
  #stepMs = 0;
  #steppedAt: number | undefined;

  constructor(places: number, patience: Patience, now: () => number = () => performance.now()) {
    this.#places = places;
    this.#patience = patience;
    this.#now = now;
  }

  /** Whether no place is taken. */
  get isEmpty(): boolean {
    return this.#taken === 0;
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
    return this.sendsAway() ? false : this.#wait(signal);
  }

  /**
   * Whether one who comes now is sent away at once. It has come by asking: a line that has sent somebody away goes on to
   * do so for a while.
   */
  sendsAway(): boolean {
    if (this.#taken < this.#places || !this.#standsTooLong()) return false;
    this.#inVainAt = this.#now();
    return true;
  }

  /** Gives a place back: to the one who has waited longest. */
  leave(): void {
    const { first } = this.#waiting;
    const now = this.#now();
    if (first !== undefined) {
      const { burstMs, standingMs } = this.#patience;
      if (this.#steppedAt !== undefined) this.#stepMs += (now - this.#steppedAt - this.#stepMs) / memory;
      this.#steppedAt = now;
      const movesOn = now - this.#inVainAt >= burstMs;
      if (movesOn && now - first.since < standingMs / 2) this.#burstAt = now;
      first.enter();
      return;
    }
    this.#steppedAt = undefined;
    this.#stepMs = 0;
    if (this.#taken === this.#places) this.#freeSince = now;
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

  /** Whether one who comes now would most likely wait in vain. */
  #standsTooLong(): boolean {
    const { standingMs } = this.#patience;
    // Nobody is sent away from an empty line: only a line can tell that it moves again.
    const expectedMs = this.#waiting.size * this.#stepMs;
    const now = this.#now();
    return expectedMs > standingMs * this.#surelyAt(now) && this.#waitMs(now) === standingMs;
  }

  #surelyAt(now: number): number {
    const forgotten = 1 - Math.exp((this.#unsureAt - now) / surely.forgottenMs);
    return this.#surely + (surely.most - this.#surely) * forgotten;
  }

  #inVain(): void {
    const now = this.#now();
    this.#inVainAt = now;
    // Those who gave up together came to the same line.
    if (now - this.#unsureAt < this.#patience.standingMs) return;
    this.#surely = this.#surelyAt(now) * surely.inVain;
    this.#unsureAt = now;
  }

  /** How long one who comes now may wait. */
  #waitMs(now: number): number {
    const { burstMs, standingMs } = this.#patience;
    return Math.max(standingMs, this.#burstAt + burstMs - now);
  }

  async #wait(signal: AbortSignal | undefined): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const since = this.#now();
    const waiter: Waiter = { since, enter: () => end(true), before: undefined, after: undefined };
    const giveUp = () => end(false);
    const timer = setTimeout(() => {
      this.#inVain();
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
