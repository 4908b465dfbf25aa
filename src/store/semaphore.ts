import { PrivacyError } from "../domain/errors.ts";

/** How many holders there may be, and how many more may wait for how long. */
interface SemaphoreOptions {
  readonly permits: number;
  readonly acquireTimeoutMs: number;
  readonly maxWaiting: number;
  /** Why an acquire failed, for the operator: the cause of `UNAVAILABLE`. */
  readonly failure: string;
}

/** A number of permits with a bounded queue, first come, first served. */
export class Semaphore {
  readonly #options: SemaphoreOptions;
  /** Each grants a permit to a caller that waits. In the order of arrival. */
  readonly #queue = new Set<() => void>();
  readonly #onIdle: (() => void)[] = [];
  #held = 0;

  constructor(options: SemaphoreOptions) {
    this.#options = options;
  }

  /** How many callers wait for a permit. */
  get waiting(): number {
    return this.#queue.size;
  }

  /** Whether nobody holds a permit. */
  get isIdle(): boolean {
    return this.#held === 0;
  }

  /** Whether an acquire would fail at once. */
  get isSaturated(): boolean {
    return this.#held === this.#options.permits && this.#queue.size >= this.#options.maxWaiting;
  }

  /**
   * Waits for a permit, which `release` gives back. Throws `UNAVAILABLE` when that takes too long or too many wait
   * already, and the signal's reason when it aborts.
   */
  async acquire(signal?: AbortSignal): Promise<void> {
    if (this.#held < this.#options.permits) {
      this.#held++;
      return;
    }
    signal?.throwIfAborted();
    if (this.isSaturated) throw this.#unavailable();
    return this.#wait(signal);
  }

  /** Gives a permit back: to the caller that has waited longest. */
  release(): void {
    const [grant] = this.#queue;
    if (grant !== undefined) {
      grant();
      return;
    }
    this.#held--;
    if (this.isIdle) for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  /** Waits until nobody holds a permit. */
  async waitUntilIdle(): Promise<void> {
    if (!this.isIdle) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const end = (settle: () => void) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      this.#queue.delete(grant);
      settle();
    };
    const grant = () => end(resolve);
    const onAbort = () => end(() => reject(signal?.reason));
    const timer = setTimeout(() => end(() => reject(this.#unavailable())), this.#options.acquireTimeoutMs);
    signal?.addEventListener("abort", onAbort);
    this.#queue.add(grant);
    return promise;
  }

  #unavailable(): PrivacyError {
    return new PrivacyError("UNAVAILABLE", { cause: new Error(this.#options.failure) });
  }
}

/** A semaphore for each of any number of keys, as long as it is in use. */
export class KeyedSemaphore {
  readonly #options: SemaphoreOptions;
  readonly #byKey = new Map<string, Semaphore>();

  /** With the options of each key's semaphore. */
  constructor(options: SemaphoreOptions) {
    this.#options = options;
  }

  /**
   * Acquires a permit for each of the keys, and returns the function that releases them all. Throws as
   * `Semaphore.acquire` does; then no permit is held.
   */
  async acquire(keys: readonly string[], signal?: AbortSignal): Promise<() => void> {
    const acquired: string[] = [];
    const release = () => {
      for (const key of acquired) {
        const semaphore = this.#byKey.get(key);
        semaphore?.release();
        if (semaphore?.isIdle) this.#byKey.delete(key);
      }
    };
    try {
      // In one order, to avoid deadlocks.
      for (const key of keys.length > 1 ? keys.toSorted() : keys) {
        let semaphore = this.#byKey.get(key);
        if (semaphore === undefined) {
          semaphore = new Semaphore(this.#options);
          this.#byKey.set(key, semaphore);
        }
        await semaphore.acquire(signal);
        acquired.push(key);
      }
    } catch (failure) {
      release();
      throw failure;
    }
    return release;
  }
}
