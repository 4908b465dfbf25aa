interface Wait {
  isOver(): boolean;
  resolve(): void;
  reject(reason: unknown): void;
}

/** Those who wait for a condition, which is looked at whenever the state has changed. */
export class ReplicaWaits {
  readonly #waits = new Set<Wait>();
  #closed: Error | undefined;

  /** Waits until a condition is true. Rejects with the signal's reason when it aborts. */
  until(isOver: () => boolean, signal?: AbortSignal): Promise<void> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (isOver()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const onAbort = () => wait.reject(signal?.reason);
      const end = (settle: () => void) => {
        this.#waits.delete(wait);
        signal?.removeEventListener("abort", onAbort);
        settle();
      };
      const wait: Wait = {
        isOver,
        resolve: () => end(resolve),
        reject: (reason) => end(() => reject(reason)),
      };
      this.#waits.add(wait);
      signal?.addEventListener("abort", onAbort);
    });
  }

  /** The state has changed. */
  check(): void {
    for (const wait of [...this.#waits]) if (wait.isOver()) wait.resolve();
  }

  /** Ends all that wait by now. */
  fail(reason: Error): void {
    for (const wait of [...this.#waits]) wait.reject(reason);
  }

  /** Ends all, also those who wait from now on. */
  close(reason: Error): void {
    this.#closed = reason;
    this.fail(reason);
  }
}
