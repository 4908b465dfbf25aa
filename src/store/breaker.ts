import { setImmediate, setTimeout } from "node:timers/promises";
import { DenseSet, type DenseSetMember } from "../collections/dense-set.ts";
import { PrivacyError } from "../domain/errors.ts";

/** When a watch asks, and when it takes silence for an answer. In milliseconds. */
export interface ProbeTimes {
  /** Between an answer and the next question. */
  readonly pauseMs: number;
  /** Without an answer to anything. */
  readonly silenceMs: number;
}

/** The caller for whom work is done. */
export interface Caller {
  /** False once the caller's call has failed because the database is unavailable. */
  readonly waits: boolean;
}

/** Who waits for the database. */
interface Waiter extends DenseSetMember, Caller {
  waits: boolean;
  readonly fail: (failure: PrivacyError) => void;
}

/**
 * A circuit breaker before a database. A watch asks it one small question over and over. From a question that fails,
 * or is met with silence, to one that is answered, the database counts as away: what waits for it fails at once as
 * `UNAVAILABLE`, and nothing new is sent.
 *
 * Only the question decides, never how calls fare: one that waits for a lock takes nobody along. Calls that are
 * answered speak against silence, though: a database that has much to do is not away.
 */
export class DatabaseBreaker {
  readonly #ask: () => Promise<unknown>;
  readonly #times: ProbeTimes;
  readonly #waiting = new DenseSet<Waiter>();
  #onChange: (present: boolean) => void = () => {};
  #away: PrivacyError | undefined;
  #lastAnswer = 0;
  #state: "new" | "started" | "stopped" = "new";

  /** `ask` must settle some day: `UNAVAILABLE` means no, any other failure is an answer. */
  constructor(ask: () => Promise<unknown>, times: ProbeTimes) {
    this.#ask = ask;
    this.#times = times;
  }

  /** Starts to ask. `onChange` is told when the database goes away, and when it is back. */
  start(onChange: (present: boolean) => void): void {
    if (this.#state !== "new") return;
    this.#state = "started";
    this.#onChange = onChange;
    void this.#run();
  }

  /** Asks no more. */
  stop(): void {
    this.#state = "stopped";
  }

  /**
   * Runs work that needs the database, while the database is available; rejects as soon as it becomes unavailable. `work`
   * goes on then and must change nothing more: its caller no longer waits.
   */
  execute<T>(work: (caller: Caller) => Promise<T>): Promise<T> {
    if (this.#away !== undefined) return Promise.reject(this.#away);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const waiter: Waiter = { waits: true, fail: reject, denseIndex: -1 };
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

  async #run(): Promise<void> {
    while (this.#state !== "stopped") {
      const answer = this.#ask().then(
        () => undefined,
        (failure: unknown) => (isUnavailable(failure) ? failure : undefined),
      );
      if (!(await this.#isInTime(answer))) {
        const cause = new Error(`the database has said nothing for ${this.#times.silenceMs} ms`);
        this.#turn(new PrivacyError("UNAVAILABLE", { cause }));
      }
      this.#turn(await answer);
      await setTimeout(this.#times.pauseMs, undefined, { ref: false });
    }
  }

  async #isInTime(answer: Promise<unknown>): Promise<boolean> {
    const { silenceMs } = this.#times;
    const answered = answer.then(() => true);
    const asked = performance.now();
    for (let left = silenceMs; left > 0; ) {
      if (await Promise.race([answered, elapsed(left)])) return true;
      left = Math.max(asked, this.#lastAnswer) + silenceMs - performance.now();
    }
    return false;
  }

  #turn(away: PrivacyError | undefined): void {
    const before = this.#away;
    this.#away = away;
    if ((before === undefined) === (away === undefined) || this.#state === "stopped") return;
    if (away !== undefined) {
      for (const waiter of this.#waiting) {
        waiter.waits = false;
        waiter.fail(away);
      }
    }
    this.#onChange(away === undefined);
  }
}

async function elapsed(ms: number): Promise<false> {
  await setTimeout(ms, undefined, { ref: false });
  // When it was this process that was held up, the answer has come and is read first.
  await setImmediate();
  return false;
}

function isUnavailable(failure: unknown): failure is PrivacyError {
  return failure instanceof PrivacyError && failure.reason === "UNAVAILABLE";
}
