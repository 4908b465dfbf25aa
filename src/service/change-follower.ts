import type { Change } from "../domain/changes.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { Tick } from "../store/change-log.ts";
import type { ChangeCursor, KindMask, LogPosition, SnapshotProgress } from "./change-cursor.ts";
import type { ChangeFeed } from "./change-feed.ts";
import type { LogPlace, Page } from "./change-ring.ts";

/** Where a follower begins. */
export type Start =
  | { readonly at: "now" }
  | { readonly at: "snapshot" }
  | { readonly at: "cursor"; readonly cursor: ChangeCursor };

/** What comes next for a follower. */
export interface Part {
  readonly changes: readonly Change[];
  /** The page of the log that this is; undefined for anything else, and while a snapshot is under way. */
  readonly page?: Page | undefined;
}

/** What a follower has received. */
export interface FollowerProgress {
  readonly cursor: ChangeCursor;
  /** Whether that equals the state at `through`. */
  readonly complete: boolean;
  /** Everything that was committed before was received: in microseconds since 1970. Undefined during a snapshot. */
  readonly through: bigint | undefined;
}

/**
 * One who follows the change log, after a snapshot when one was asked for. A snapshot is what the tables hold, page by
 * page, with the changes since its beginning between the pages. It is complete when the changes up to a tick after its
 * last page were received: what changed after its page was read comes as a change. All pages and that tick are from one start
 * of the server: a page may show what a crash or a failover loses, and no tick that was stored before could tell.
 */
export class ChangeFollower {
  readonly #feed: ChangeFeed;
  readonly #kinds: KindMask;
  #place: LogPlace;
  #snapshot: SnapshotProgress | undefined;
  /** A tick after the last page of the snapshot. */
  #lastTick: Tick | undefined;
  /** The page of the snapshot that is read while the one before is sent. */
  #nextState: ReturnType<ChangeFeed["readState"]> | undefined;
  /** A tick that was stored before that page was read. */
  #headOfNextState: Tick | undefined;
  /** Pages of the log and of the state take turns. */
  #isLogsTurn = false;
  #isComplete = false;
  #through: bigint;

  private constructor(
    feed: ChangeFeed,
    kinds: KindMask,
    place: LogPlace,
    snapshot: SnapshotProgress | undefined,
  ) {
    this.#feed = feed;
    this.#kinds = kinds;
    this.#place = place;
    this.#snapshot = snapshot;
    this.#through = place.from.at;
  }

  /** Throws `CURSOR_EXPIRED` or `HISTORY_CHANGED` for a cursor at which nobody can begin any more. */
  static async begin(
    feed: ChangeFeed,
    kinds: KindMask,
    start: Start,
    signal: AbortSignal,
  ): Promise<ChangeFollower> {
    if (start.at === "cursor") {
      const { log, snapshot } = start.cursor;
      return new ChangeFollower(feed, kinds, await feed.find(log, signal), snapshot);
    }
    // The head was stored before the call: whatever is committed during the call comes after it.
    const snapshot =
      start.at === "snapshot" ? { after: undefined, server: undefined, ended: false } : undefined;
    return new ChangeFollower(feed, kinds, { from: feed.head }, snapshot);
  }

  /** What was received so far. */
  get progress(): FollowerProgress {
    const isAtHead = this.#isAtHead();
    const cursor = { kinds: this.#kinds, log: positionOf(this.#place), snapshot: this.#snapshot };
    const through = this.isInSnapshot ? undefined : this.through;
    return { cursor, complete: this.#isComplete || isAtHead, through };
  }

  /** Whether a snapshot is under way. */
  get isInSnapshot(): boolean {
    return this.#snapshot !== undefined;
  }

  /**
   * What was committed before this time was received, of the log: in microseconds since 1970. Goes back only with the clock of the
   * database.
   */
  get through(): bigint {
    const { through, clock } = this.#feed;
    const isAtHead = this.#isAtHead();
    if (isAtHead && through > this.#through) this.#through = through;
    if (clock === undefined || this.#through <= clock) return this.#through;
    // The clock was set back: what is committed from now on has earlier times, and would be missing.
    const present = isAtHead ? through : this.#place.from.at;
    if (present <= clock) this.#through = present;
    return this.#through;
  }

  /** Reads what comes next; undefined when there is nothing yet. Fails as `ChangeFeed.read` does. */
  next(signal: AbortSignal): Promise<Part | undefined> | Part | undefined {
    if (this.#snapshot !== undefined) return this.#nextOfSnapshot(this.#snapshot, signal);
    const page = this.#feed.read(this.#place, signal);
    return page instanceof Promise ? page.then((read) => read && this.#take(read)) : page && this.#take(page);
  }

  async #nextOfSnapshot(progress: SnapshotProgress, signal: AbortSignal): Promise<Part | undefined> {
    if (progress.ended) return this.#nextOfTail(progress, signal);
    this.#isLogsTurn = !this.#isLogsTurn;
    const page = this.#isLogsTurn ? await this.#feed.read(this.#place, signal) : undefined;
    if (page !== undefined && this.#isSeenByNextState(page)) return this.#take(page);
    this.#isLogsTurn = false;
    const reading = this.#nextState ?? this.#feed.readState(progress.after, signal);
    this.#nextState = undefined;
    const { changes, next, server } = await reading;
    assertSameRun(progress, server);
    this.#snapshot = { after: next ?? progress.after, server, ended: next === undefined };
    if (next !== undefined) {
      this.#headOfNextState = this.#feed.head;
      this.#nextState = this.#feed.readState(next, signal);
      // Whoever takes the page handles its failure.
      this.#nextState.catch(() => {});
    }
    return { changes };
  }

  /**
   * Whether the page of the snapshot that is being read sees all changes of a page of the log: otherwise it must be sent before
   * them, since it would undo them.
   */
  #isSeenByNextState({ next: { from, within } }: Page): boolean {
    if (this.#nextState === undefined || this.#headOfNextState === undefined) return true;
    return (within?.to ?? from).id <= this.#headOfNextState.id;
  }

  /** What comes after the last page of the snapshot, up to a tick that sees everything that the pages saw. */
  async #nextOfTail(progress: SnapshotProgress, signal: AbortSignal): Promise<Part | undefined> {
    this.#lastTick ??= await this.#feed.storeTick(signal);
    assertSameRun(progress, this.#lastTick.server);
    const page = this.#hasReached(this.#lastTick) ? undefined : await this.#feed.read(this.#place, signal);
    const part = page && this.#take(page);
    if (!this.#hasReached(this.#lastTick)) return part;
    this.#snapshot = undefined;
    return { changes: part?.changes ?? [], page };
  }

  #hasReached({ id }: Tick): boolean {
    return this.#place.within === undefined && this.#place.from.id >= id;
  }

  #take(page: Page): Part {
    const { changes, next, complete, through } = page;
    this.#place = next;
    this.#isComplete = complete && this.#snapshot === undefined;
    if (through > this.#through) this.#through = through;
    return { changes, page: this.#snapshot === undefined ? page : undefined };
  }

  #isAtHead(): boolean {
    const { from, within } = this.#place;
    return this.#snapshot === undefined && within === undefined && this.#feed.isHead(from);
  }
}

/** Throws `HISTORY_CHANGED` when the server was started again, or crashed, since the first page of a snapshot was read. */
function assertSameRun({ server: first }: SnapshotProgress, server: bigint): void {
  if (first !== undefined && first !== server) throw new PrivacyError("HISTORY_CHANGED");
}

function positionOf({ from, within }: LogPlace): LogPosition {
  return {
    from: { id: from.id, nonce: from.nonce },
    within: within && { to: { id: within.to.id, nonce: within.to.nonce }, version: within.version },
  };
}
