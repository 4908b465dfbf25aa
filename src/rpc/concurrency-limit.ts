/** What was measured in one window of time. Times are in milliseconds. */
export interface LoadWindow {
  readonly elapsedMs: number;
  /** Calls that were answered. */
  readonly answered: number;
  /** Those of them that took longer than `latencyTargetMs`. */
  readonly late: number;
  /** The mean delay of the event loop. */
  readonly loopDelayMs: number;
  /** Whether a call was refused. */
  readonly refused: boolean;
}

/** A call that takes longer is late. Callers wait about a second; work must be done well before. */
export const latencyTargetMs = 250;
/** An event loop that is delayed longer has too many calls in flight. */
const loopDelayMs = 25;
/** The delay of the event loop at which the limit settles: a call passes the loop several times, a refusal once. */
const loopDelayTargetMs = 10;
/** Fewer calls in flight leave connections to the database idle; fewer answers in a window say nothing. */
const minimum = 16;
/** So many windows in a row must be overloaded. A burst that takes a few turns of the event loop is no overload. */
const patience = 3;
/** How the limit grows with each window that is not overloaded: while calls are refused, and while none are. */
const growth = { refusing: 1.1, idle: 2 };

/**
 * How many calls may be in flight, learned from windows of time. When most calls are late, the limit becomes what is
 * done within the latency target (Little's law); when the event loop is delayed, the limit falls in proportion. In
 * every other window it grows, whether or not calls come.
 */
export class ConcurrencyLimit {
  readonly #maximum: number;
  #value: number;
  #overloaded = 0;

  /** Begins with the maximum. */
  constructor(maximum: number) {
    this.#maximum = maximum;
    this.#value = maximum;
  }

  get value(): number {
    return this.#value;
  }

  /** Adjusts the limit to a window. False when it saw too few calls to tell: it must go on. */
  adjust({ elapsedMs, answered, late, loopDelayMs: delayMs, refused }: LoadWindow): boolean {
    if (answered < minimum && refused) return false;
    const allowedMs = this.#value < this.#maximum ? loopDelayTargetMs : loopDelayMs;
    const callsLate = answered >= minimum && late * 2 > answered;
    const loopLate = answered >= minimum && delayMs > allowedMs;
    this.#overloaded = callsLate || loopLate ? this.#overloaded + 1 : 0;
    if (this.#overloaded === 0) this.#set(this.#value * (refused ? growth.refusing : growth.idle) + 1);
    else if (this.#overloaded >= patience)
      this.#set(
        Math.min(
          callsLate ? (answered * latencyTargetMs) / elapsedMs : this.#value,
          loopLate ? (this.#value * loopDelayTargetMs) / delayMs : this.#value,
        ),
      );
    return true;
  }

  #set(value: number): void {
    this.#value = Math.min(this.#maximum, Math.max(minimum, Math.floor(value)));
  }
}
