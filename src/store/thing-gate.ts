import { PrivacyError } from "../domain/errors.ts";
import { type Patience, WaitingLine } from "./waiting-line.ts";

/** One that has the lock of a thing, and one that has it next. */
const atOnce = 2;

/** As long as a statement may wait for a lock. */
const patience: Patience = { burstMs: 3_000, standingMs: 3_000 };

/**
 * Lets few changes of one thing have a connection at once: more could only wait for its lock, and would keep connections
 * from changes of other things.
 */
export class ThingGate {
  readonly #lines = new Map<string, WaitingLine>();

  /**
   * Waits until the change of some things may begin, and returns what is to be called when its connection has been given
   * back. Throws `UNAVAILABLE` when that takes too long, and the signal's reason when it is aborted.
   */
  async enter(things: readonly string[], signal?: AbortSignal): Promise<() => void> {
    const entered: string[] = [];
    const leave = () => {
      for (const thing of entered) {
        const line = this.#lines.get(thing);
        line?.leave();
        if (line?.isEmpty) this.#lines.delete(thing);
      }
    };
    // In one order, so that no two changes wait for each other.
    for (const thing of things.length > 1 ? things.toSorted() : things) {
      let line = this.#lines.get(thing);
      if (line === undefined) {
        line = new WaitingLine(atOnce, patience);
        this.#lines.set(thing, line);
      }
      if (await line.enter(signal)) {
        entered.push(thing);
        continue;
      }
      leave();
      signal?.throwIfAborted();
      throw new PrivacyError("UNAVAILABLE", { cause: new Error("too many others change the same") });
    }
    return leave;
  }
}
