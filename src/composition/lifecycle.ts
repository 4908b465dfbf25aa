import { PrivacyError } from "../domain/errors.ts";
import type { Listener } from "../http/listener.ts";
import { HealthState } from "../rpc/health.ts";

/** How long calls that are cut off may take to say so. */
const lastWordsMs = 500;

/** What every call needs. */
type Need = "database" | "keys";

/** The end of a service, step by step, as its parts and its balancers are told of it. */
export class Lifecycle {
  readonly health: HealthState;
  readonly #stopping = new AbortController();
  readonly #shutdown = new AbortController();
  readonly #missing = new Set<Need>();
  #retired = false;

  constructor(serviceNames: Iterable<string>) {
    this.health = new HealthState(serviceNames);
  }

  /** Aborts when streams that have no end of their own are to end. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Aborts when calls have had their time. */
  get shutdown(): AbortSignal {
    return this.#shutdown.signal;
  }

  /** Whether the service wants more calls and has what they need, by the last that was heard of it. */
  get ready(): boolean {
    return !this.#retired && this.#missing.size === 0;
  }

  /** Notes whether something that every call needs is there; the service serves while nothing is missing. */
  setAvailable(need: Need, available: boolean): void {
    if (available) this.#missing.delete(need);
    else this.#missing.add(need);
    this.health.setServing(this.#missing.size === 0);
  }

  /** Tells balancers to send nothing more. */
  retire(): void {
    this.#retired = true;
    this.health.stop();
  }

  /**
   * Closes the listeners: endless streams end, calls in flight may finish for `graceMs` milliseconds, what is left
   * is cut off. Resolves to how many calls that were.
   */
  async close(listeners: readonly Listener[], graceMs: number): Promise<number> {
    this.retire();
    this.health.end();
    this.#stopping.abort();
    let cut = 0;
    const cutOff = setTimeout(() => {
      cut = listeners.reduce((sum, listener) => sum + listener.unanswered(), 0);
      this.#shutdown.abort(new PrivacyError("UNAVAILABLE"));
    }, graceMs);
    const last = graceMs + Math.min(graceMs, lastWordsMs);
    await Promise.all(listeners.map((listener) => listener.close(last)));
    clearTimeout(cutOff);
    return cut;
  }
}
