import type { ReplicaEvents } from "./replica-types.ts";

export type Listener<Name extends keyof ReplicaEvents> = (...details: ReplicaEvents[Name]) => void;

/** Tells listeners what happens to a replica. */
export class ReplicaEmitter {
  readonly #listeners = new Map<keyof ReplicaEvents, Set<Listener<never>>>();

  /** Calls a listener from now on. */
  on<Name extends keyof ReplicaEvents>(name: Name, listener: Listener<Name>): void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener as Listener<never>));
  }

  /** Does not call it any more. */
  off<Name extends keyof ReplicaEvents>(name: Name, listener: Listener<Name>): void {
    this.#listeners.get(name)?.delete(listener as Listener<never>);
  }

  /** Calls the listeners. What one throws is an uncaught exception, and concerns nobody else. */
  emit<Name extends keyof ReplicaEvents>(name: Name, ...details: ReplicaEvents[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        (listener as Listener<Name>)(...details);
      } catch (failure) {
        queueMicrotask(() => {
          throw failure;
        });
      }
    }
  }
}
