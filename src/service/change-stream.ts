import { setTimeout as pause } from "node:timers/promises";
import type { WatchChangesResponse } from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { ChangeFollower, FollowerProgress, Part } from "./change-follower.ts";
import type { ChangeMessages } from "./change-messages.ts";

/** The pause after a failure that passes, in milliseconds. */
const retryMs = 250;

/** What is read is not there yet. */
const late = Symbol("late");

/** The messages for one watcher. */
export class ChangeStream {
  readonly #follower: ChangeFollower;
  readonly #messages: ChangeMessages;
  readonly #isJson: boolean;
  /** What is being read: it may take longer than the watcher may be left without a message. */
  #reading: Promise<Part | undefined | typeof late> | undefined;
  /** What the last message said. */
  #sent: FollowerProgress;

  constructor(follower: ChangeFollower, messages: ChangeMessages, isJson: boolean) {
    this.#follower = follower;
    this.#messages = messages;
    this.#isJson = isJson;
    this.#sent = follower.progress;
  }

  /**
   * Returns the next message: one without changes when there are none by the time `dueAt`, of `performance.now()`. Undefined
   * when there is nothing to read yet. Throws the signal's reason when it aborts, and `CURSOR_EXPIRED` or `HISTORY_CHANGED`
   * when changes are lost.
   */
  async next(dueAt: number, signal: AbortSignal): Promise<WatchChangesResponse | undefined> {
    for (;;) {
      signal.throwIfAborted();
      const part = await this.#read(dueAt, signal);
      const isDue = performance.now() >= dueAt;
      // The place of what is being read must not be told before it.
      if (part === late) {
        if (isDue) return this.#messages.write([], this.#sent);
        continue;
      }
      if (part === undefined && !isDue) return undefined;
      const { progress } = this.#follower;
      const message = part && this.#messages.ofPart(part, progress, this.#isJson);
      // Also when all changes of the part are of other kinds.
      const isToBeTold = message !== undefined || isDue || (progress.complete && !this.#sent.complete);
      if (!isToBeTold) continue;
      this.#sent = progress;
      return message ?? this.#messages.write([], progress);
    }
  }

  /** Reads what comes next, until `dueAt`. After a failure that passes it is late. */
  async #read(dueAt: number, signal: AbortSignal): Promise<Part | undefined | typeof late> {
    if (this.#reading === undefined) {
      const next = this.#follower.next(signal);
      if (!(next instanceof Promise)) return next;
      this.#reading = next;
    }
    try {
      const part = await withinTime(this.#reading, dueAt - performance.now());
      if (part !== undefined) this.#reading = undefined;
      return part?.value ?? (part === undefined ? late : undefined);
    } catch (failure) {
      if (signal.aborted || !isPassing(failure)) throw failure;
      this.#reading = pause(retryMs, late);
      return late;
    }
  }
}

/** Whether a failure passes by itself: the follower keeps its place. */
function isPassing(failure: unknown): boolean {
  return failure instanceof PrivacyError && failure.reason === "UNAVAILABLE";
}

/** What a promise resolves to; undefined when that takes too long. */
async function withinTime<T>(promise: Promise<T>, ms: number): Promise<{ readonly value: T } | undefined> {
  const { promise: timeout, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, Math.max(0, ms), undefined);
  try {
    return await Promise.race([promise.then((value) => ({ value })), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
