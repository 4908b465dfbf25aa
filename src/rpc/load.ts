import type { Interceptor } from "@connectrpc/connect";
import type { Logger } from "pino";
import { PrivacyError } from "../domain/errors.ts";

/** When a refused caller may try again, in seconds. */
const retryAfter = 1;
/** Refused calls are logged by their number, this often at most. */
const logEveryMs = 1_000;

/** What a call is told for which there is no room. */
export function overloaded(): PrivacyError {
  return new PrivacyError("OVERLOADED", { retryAfter });
}

/**
 * Bounds the calls that a listener works on at once, so that those it takes are answered in time and all others are
 * refused at once; none waits in a queue. A call is at work while its token is checked and while its handler runs. It
 * is not while its client has yet to send the request or to take the response: slow clients take nobody's place.
 */
export class Load {
  readonly #max: number;
  readonly #log: Logger;
  #atWork = 0;
  #refused = 0;
  #logging = false;

  /** `max` calls at once, 0 for any number. */
  constructor(max: number, log: Logger) {
    this.#max = max === 0 ? Number.POSITIVE_INFINITY : max;
    this.#log = log;
  }

  /** Whether a call that arrives now must be refused. Counts it as such. */
  refuses(): boolean {
    if (this.#atWork < this.#max) return false;
    this.#refused += 1;
    if (!this.#logging) {
      this.#logging = true;
      setTimeout(() => this.#report(), logEveryMs).unref();
    }
    return true;
  }

  /** Begins work of a call that was not refused. */
  enter(): void {
    this.#atWork += 1;
  }

  /** Ends what `enter` began. */
  leave(): void {
    this.#atWork -= 1;
  }

  /** Does work of a call that was not refused. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.enter();
    try {
      return await work();
    } finally {
      this.leave();
    }
  }

  /** Waits for a client within the work of a call. */
  async outside<T>(wait: () => Promise<T>): Promise<T> {
    this.leave();
    try {
      return await wait();
    } finally {
      this.enter();
    }
  }

  /** Counts the handlers of unary calls; those of streams mostly wait for their clients. */
  readonly interceptor: Interceptor = (next) => (request) =>
    request.stream ? next(request) : this.during(() => next(request));

  #report(): void {
    this.#log.warn({ refused: this.#refused }, "calls were refused for want of room");
    this.#refused = 0;
    this.#logging = false;
  }
}
