import { PrivacyError } from "../domain/errors.ts";
import { HealthState } from "../grpc/health.ts";
import type { Listener } from "../http/listen.ts";

/** How long a call that is cut off may take to answer. */
const lastAnswerMs = 500;

/** What the service needs to serve any call. */
type Dependency = "database" | "keys";

/** Whether the service is ready for calls, and the steps of its shutdown. */
export class Lifecycle {
  readonly health: HealthState;
  readonly #stopping = new AbortController();
  readonly #shutdown = new AbortController();
  readonly #unavailable = new Set<Dependency>();
  #retired = false;

  constructor(serviceNames: Iterable<string>) {
    this.health = new HealthState(serviceNames);
  }

  /** Aborts when streams without an end of their own must end. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Aborts when the time for calls in flight is over. */
  get shutdown(): AbortSignal {
    return this.#shutdown.signal;
  }

  /** Whether the service takes calls: it is not retiring, and no dependency was last reported unavailable. */
  get ready(): boolean {
    return !this.#retired && this.#unavailable.size === 0;
  }

  /** Records the state of a dependency. The health service reports serving while all of them are available. */
  setAvailable(dependency: Dependency, available: boolean): void {
    if (available) this.#unavailable.delete(dependency);
    else this.#unavailable.add(dependency);
    this.health.setServing(this.#unavailable.size === 0);
  }

  /** Reports to balancers that they must send no more calls. */
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
    const last = graceMs + Math.min(graceMs, lastAnswerMs);
    await Promise.all(listeners.map((listener) => listener.close(last)));
    clearTimeout(cutOff);
    return cut;
  }
}
