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
/** The delay of the event loop at which a limit that was lowered settles. */
const loopDelayTargetMs = 10;
/** The lowest limit: fewer calls in flight leave connections to the database idle. */
const minLimit = 16;
/** A window with fewer answers is too small a sample to find an overload. */
const minAnswers = 16;
/** The limit falls after this many overloaded windows in a row, so that a short burst does not lower it. */
const overloadedWindows = 3;
/** The factor of the limit's growth in a window that is not overloaded: while calls are refused, and while none are. */
const growth = { refusing: 1.1, idle: 2 };

/**
 * How many calls may be in flight, adjusted after each window of time. When most calls are late, the limit becomes the
 * number that is answered within the latency target (Little's law). When the event loop is delayed, the limit falls in
 * proportion. In every other window it grows, whether or not calls arrive.
 */
export class ConcurrencyLimit {
  readonly #maximum: number;
  #value: number;
  #overloadedInARow = 0;

  /** Begins with the maximum. */
  constructor(maximum: number) {
    this.#maximum = maximum;
    this.#value = maximum;
  }

  get value(): number {
    return this.#value;
  }

  /** Adjusts the limit to a window. False when the window has too few answers: its caller must prolong the window. */
  adjust({ elapsedMs, answered, late, loopDelayMs: delayMs, refused }: LoadWindow): boolean {
    if (answered < minAnswers && refused) return false;
    const allowedMs = this.#value < this.#maximum ? loopDelayTargetMs : loopDelayMs;
    const callsLate = answered >= minAnswers && late * 2 > answered;
    const loopLate = answered >= minAnswers && delayMs > allowedMs;
    this.#overloadedInARow = callsLate || loopLate ? this.#overloadedInARow + 1 : 0;
    if (this.#overloadedInARow === 0) this.#set(this.#value * (refused ? growth.refusing : growth.idle) + 1);
    else if (this.#overloadedInARow >= overloadedWindows)
      this.#set(
        Math.min(
          callsLate ? (answered * latencyTargetMs) / elapsedMs : this.#value,
          loopLate ? (this.#value * loopDelayTargetMs) / delayMs : this.#value,
        ),
      );
    return true;
  }

  #set(value: number): void {
    this.#value = Math.min(this.#maximum, Math.max(minLimit, Math.floor(value)));
  }
}
