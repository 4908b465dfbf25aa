import { setTimeout } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { reasonOf } from "../../../src/call/errors.ts";
import { type ChangeKind, changeKinds } from "../../../src/domain/changes.ts";
import type { Random } from "../support/random.ts";
import type { Problems } from "../support/report.ts";
import type { ChangeClient, Message, Question } from "./change-client.ts";
import { Copy, type KeyedChange, type State, usersOf } from "./copy.ts";

/** What a follower does of its own accord. */
export interface Habits {
  /** The kinds that it follows; all when empty. */
  readonly kinds: readonly ChangeKind[];
  /** Calls `ReadChanges` instead of `WatchChanges`. */
  readonly polls: boolean;
  /** How long a session lasts at most, in milliseconds: then it resumes at one of its cursors. Undefined: no end. */
  readonly sessionMs: number | undefined;
  /** How many sessions of a hundred drop the copy and begin with a snapshot. */
  readonly snapshots: number;
}

export interface FollowerOptions {
  readonly name: string;
  readonly habits: Habits;
  /** The users who are known at some time. */
  readonly users: ReadonlySet<string>;
  /** One for each instance. */
  readonly clients: readonly ChangeClient[];
  readonly random: Random;
  readonly problems: Problems;
  /** It may be told that the history has changed. */
  readonly losesHistory: boolean;
}

/** What followers have done together. */
export interface Sessions {
  changes: number;
  sessions: number;
  older: number;
  snapshots: number;
  /** Sessions that began with a snapshot because the history had changed. */
  histories: number;
}

/** A cursor with the copy that it belongs to. */
interface Checkpoint {
  readonly cursor: string;
  readonly state: State;
  readonly exactAfter: bigint | undefined;
  readonly isInSnapshot: boolean;
}

const restMs = 50;
const keptCheckpoints = 20;
/** How long a caller of `ReadChanges` waits for a change, in milliseconds. */
const waitMs = 500;
/** Of a hundred sessions, how many resume at the newest cursor, and at an older one with the copy of that time. */
const atNewest = 50;
const atOlder = 25;

/**
 * A consumer of changes: keeps a copy of what holds, by the rules of the API, through sessions that end and resume at random
 * cursors and instances. Reports changes that are out of order, or that change nothing.
 */
export class Follower {
  readonly #options: FollowerOptions;
  readonly #kinds: ReadonlySet<ChangeKind>;
  readonly counts: Sessions = { changes: 0, sessions: 0, older: 0, snapshots: 0, histories: 0 };
  readonly #waiting = new Set<{ after: bigint; resolve: (state: State) => void }>();
  /**
   * Changes that changed nothing in the copy. The log may lack changes before them that name an erased user; then the erasure
   * follows.
   */
  #doubtful: string[] = [];
  #copy = new Copy();
  #checkpoints: Checkpoint[] = [];
  /**
   * Undefined when the copy is what held at the position of the log that the session has reached. Otherwise it is so as soon
   * as it is complete through a time after this one, in microseconds since 1970.
   */
  #exactAfter: bigint | undefined = 0n;
  /** A snapshot was begun and is not complete. A crash of the server ends it. */
  #isInSnapshot = true;

  constructor(options: FollowerOptions) {
    this.#options = options;
    const { kinds } = options.habits;
    this.#kinds = new Set(kinds.length === 0 ? changeKinds : kinds);
  }

  get name(): string {
    return this.#options.name;
  }

  /** The kinds of which the copy is complete. */
  get kinds(): ReadonlySet<ChangeKind> {
    return this.#kinds;
  }

  /** Resolves to what the copy has as soon as it is complete through a time, in microseconds since 1970. */
  completeThrough(after: bigint): Promise<State> {
    return new Promise((resolve) => this.#waiting.add({ after, resolve }));
  }

  /** Follows until the signal aborts. */
  async run(stop: AbortSignal): Promise<void> {
    const { habits, clients, random } = this.#options;
    while (!stop.aborted) {
      const client = clients[random.below(clients.length)] as ChangeClient;
      const cursor = this.#beginSession();
      const ends = [stop];
      if (habits.sessionMs !== undefined) ends.push(AbortSignal.timeout(1 + random.below(habits.sessionMs)));
      try {
        await this.#session(client, cursor, AbortSignal.any(ends));
      } catch (failure) {
        this.#assertExpected(failure);
        await setTimeout(restMs);
      }
    }
  }

  /** Chooses where the next session begins, and returns its cursor; undefined for a snapshot. */
  #beginSession(): string | undefined {
    const { habits, random } = this.#options;
    this.#doubtful = [];
    this.counts.sessions++;
    const newest = this.#checkpoints.at(-1);
    if (newest === undefined || random.below(100) < habits.snapshots) {
      this.counts.snapshots++;
      this.#checkpoints = [];
      this.#copy = new Copy();
      this.#exactAfter = 0n;
      this.#isInSnapshot = true;
      return undefined;
    }
    const choice = habits.sessionMs === undefined ? 0 : random.below(100);
    if (choice < atNewest) {
      this.#restore(newest);
      return newest.cursor;
    }
    this.counts.older++;
    const index = random.below(this.#checkpoints.length);
    const older = this.#checkpoints[index] as Checkpoint;
    // What comes next is stored anew.
    this.#checkpoints = this.#checkpoints.slice(0, index + 1);
    if (choice < atNewest + atOlder) this.#restore(older);
    // A consumer whose copy is newer than its cursor: what it has had comes again.
    else {
      this.#exactAfter = BigInt(Date.now()) * 1_000n;
      this.#isInSnapshot = older.isInSnapshot;
    }
    return older.cursor;
  }

  #restore({ state, exactAfter, isInSnapshot }: Checkpoint): void {
    this.#copy = new Copy(state);
    this.#exactAfter = exactAfter;
    this.#isInSnapshot = isInSnapshot;
  }

  async #session(client: ChangeClient, cursor: string | undefined, signal: AbortSignal): Promise<void> {
    const { kinds, polls } = this.#options.habits;
    /** The last version of each key in this session. */
    const versions = new Map<string, bigint>();
    let question: Question = { cursor, kinds };
    if (!polls) {
      for await (const message of client.watch(question, signal)) this.#apply(message, versions);
      return;
    }
    while (!signal.aborted) {
      const message = await client.read(question, waitMs, signal);
      this.#apply(message, versions);
      question = { ...question, cursor: message.cursor };
    }
  }

  #apply({ changes, cursor, complete, through }: Message, versions: Map<string, bigint>): void {
    const { random } = this.#options;
    for (const change of changes) {
      this.#inspect(change, versions);
      this.#copy.apply(change);
      this.counts.changes++;
    }
    if (complete) {
      this.#isInSnapshot = false;
      if (this.#exactAfter !== undefined && through > this.#exactAfter) this.#exactAfter = undefined;
      for (const waiting of this.#waiting) {
        if (through <= waiting.after) continue;
        this.#waiting.delete(waiting);
        for (const doubt of this.#doubtful) this.#options.problems.add("changes of nothing", doubt);
        this.#doubtful = [];
        waiting.resolve(this.#copy.state);
        // Goes on with a copy of its own.
        this.#copy = new Copy(this.#copy.state);
      }
    }
    if (changes.length === 0 && random.below(4) > 0) return;
    this.#checkpoints.push({
      cursor,
      state: new Map(this.#copy.state),
      exactAfter: this.#exactAfter,
      isInSnapshot: this.#isInSnapshot,
    });
    if (this.#checkpoints.length > keptCheckpoints)
      this.#checkpoints.splice(random.below(keptCheckpoints), 1);
  }

  #inspect({ kind, key, version, state, isExpiry }: KeyedChange, versions: Map<string, bigint>): void {
    const { name, problems } = this.#options;
    const what = `${name}: ${key} ${state ?? "removed"}, version ${version}`;
    if (version > 0n) {
      const last = versions.get(key) ?? 0n;
      if (version <= last) problems.add("changes out of order", `${what} after ${last}`);
      versions.set(key, version);
    }
    if (kind !== "user" && !this.#kinds.has(kind)) problems.add("changes of another kind", what);
    const { users } = this.#options;
    if (kind === "user" && state === undefined) {
      const [erased = ""] = usersOf(key);
      if (!users.has(erased)) problems.add("changes of nothing", what);
      this.#doubtful = this.#doubtful.filter((doubt) => !doubt.includes(erased));
      return;
    }
    if (this.#exactAfter !== undefined || !this.#kinds.has("user")) return;
    const held = this.#copy.state;
    // A snapshot leaves out what has ended, and an operator may delete what an erasure is about to delete.
    const isAllowed =
      isExpiry || (state === undefined && usersOf(key).some((user) => !held.has(`user ${user}`)));
    if (held.get(key) === state && !isAllowed) this.#doubtful.push(what);
  }

  /** Throws what no consumer should meet, and reports what this one must not meet. */
  #assertExpected(failure: unknown): void {
    const error = ConnectError.from(failure);
    const reason = reasonOf(error);
    if (reason === "CURSOR_EXPIRED" || reason === "HISTORY_CHANGED") {
      const isExpected = reason === "HISTORY_CHANGED" && (this.#options.losesHistory || this.#isInSnapshot);
      if (!isExpected) this.#options.problems.add("cursors refused", `${this.name}: ${reason}`);
      this.counts.histories++;
      this.#checkpoints = [];
      return;
    }
    const isExpected = [Code.Canceled, Code.DeadlineExceeded, Code.Unavailable].includes(error.code);
    // What comes without a reason was not said by the service: the connection broke.
    if (!isExpected && reason !== undefined)
      this.#options.problems.add("failures of watches", `${this.name}: ${error.message}`);
    if (!(failure instanceof ConnectError) && !isExpected) throw failure;
  }
}
