import { setImmediate, setTimeout } from "node:timers/promises";
import { DenseSet, type DenseSetMember } from "../collections/dense-set.ts";
import { PrivacyError } from "../domain/errors.ts";

/** In milliseconds. */
export interface ProbeTiming {
  /** From the end of a probe to the next one. */
  readonly intervalMs: number;
  /** How long the database may leave everything unanswered. */
  readonly timeoutMs: number;
}

/** The caller for whom work is done. */
export interface Caller {
  /** False once the caller's call has failed because the database is unavailable. */
  readonly isWaiting: boolean;
}

/** A caller whose work is under way. */
interface Waiter extends DenseSetMember, Caller {
  isWaiting: boolean;
  readonly fail: (failure: PrivacyError) => void;
}

/**
 * A circuit breaker driven by a health probe. It is open from a probe that fails, or is not answered in time, to one that
 * succeeds: pending and new work fails at once as `UNAVAILABLE`.
 *
 * Failures of work never open it: a statement that waits for a lock says nothing about the database. Success of work
 * keeps it closed while a probe is not answered: a busy database is not unavailable.
 */
export class DatabaseBreaker {
  readonly #probe: () => Promise<unknown>;
  readonly #timing: ProbeTiming;
  readonly #waiting = new DenseSet<Waiter>();
  #onChange: (isAvailable: boolean) => void = () => {};
  #failure: PrivacyError | undefined;
  #lastAnswer = 0;
  #state: "new" | "started" | "stopped" = "new";

  /** `probe` must settle at some time. It fails when it rejects with `UNAVAILABLE`; any other rejection is an answer. */
  constructor(probe: () => Promise<unknown>, timing: ProbeTiming) {
    this.#probe = probe;
    this.#timing = timing;
  }

  /** Starts to probe. `onChange` is called with whether the database is available, when that changes. */
  start(onChange: (isAvailable: boolean) => void): void {
    if (this.#state !== "new") return;
    this.#state = "started";
    this.#onChange = onChange;
    void this.#probeRepeatedly();
  }

  /** Stops to probe. */
  stop(): void {
    this.#state = "stopped";
  }

  /**
   * Runs work while the breaker is closed; rejects as soon as it opens. `work` continues then, but must change nothing
   * more: its caller no longer waits.
   */
  execute<T>(work: (caller: Caller) => Promise<T>): Promise<T> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const waiter: Waiter = { isWaiting: true, fail: reject, denseIndex: -1 };
    this.#waiting.add(waiter);
    work(waiter).then(
      (value) => {
        this.#waiting.delete(waiter);
        this.#lastAnswer = performance.now();
        resolve(value);
      },
      (failure: unknown) => {
        this.#waiting.delete(waiter);
        reject(failure);
      },
    );
    return promise;
  }

  async #probeRepeatedly(): Promise<void> {
    while (this.#state !== "stopped") {
      const answer = this.#probe().then(
        () => undefined,
        (failure: unknown) => (isUnavailable(failure) ? failure : undefined),
      );
      if (!(await this.#isAnsweredInTime(answer))) {
        const cause = new Error(`the database has not answered for ${this.#timing.timeoutMs} ms`);
        this.#setFailure(new PrivacyError("UNAVAILABLE", { cause }));
      }
      this.#setFailure(await answer);
      await setTimeout(this.#timing.intervalMs, undefined, { ref: false });
    }
  }

  async #isAnsweredInTime(answer: Promise<unknown>): Promise<boolean> {
    const { timeoutMs } = this.#timing;
    const answered = answer.then(() => true);
    const probedAt = performance.now();
    for (let left = timeoutMs; left > 0; ) {
      if (await Promise.race([answered, elapsed(left)])) return true;
      left = Math.max(probedAt, this.#lastAnswer) + timeoutMs - performance.now();
    }
    return false;
  }

  #setFailure(failure: PrivacyError | undefined): void {
    const before = this.#failure;
    this.#failure = failure;
    if ((before === undefined) === (failure === undefined) || this.#state === "stopped") return;
    if (failure !== undefined) {
      for (const waiter of this.#waiting) {
        waiter.isWaiting = false;
        waiter.fail(failure);
      }
    }
    this.#onChange(failure === undefined);
  }
}

async function elapsed(ms: number): Promise<false> {
  await setTimeout(ms, undefined, { ref: false });
  // If this process was held up, the answer has arrived meanwhile: it is read first.
  await setImmediate();
  return false;
}

function isUnavailable(failure: unknown): failure is PrivacyError {
  return failure instanceof PrivacyError && failure.reason === "UNAVAILABLE";
}
