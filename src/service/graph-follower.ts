import type { Logger } from "pino";
import { includes } from "../domain/consistency.ts";
import { RelationshipGraph } from "../graph/relationship-graph.ts";
import type { ChangeLog, Tick } from "../store/change-log.ts";
import { parseSnapshot } from "../store/consistency.ts";
import type { GraphPageReader } from "../store/graph-pages.ts";
import type { IndexRead, ReadIndex, ReadStart } from "../store/read-index.ts";
import { GraphJournal } from "./graph-journal.ts";
import { loadGraph } from "./graph-loader.ts";

/** What a graph is made of. */
export interface GraphSource {
  readonly changes: ChangeLog;
  readonly readIndex: ReadIndex;
  readonly pages: GraphPageReader;
  readonly log: Logger;
}

export interface LoadOptions {
  readonly maxBytes: number;
  readonly keepsFollows: boolean;
}

/** The most changes that one statement of the read index brings. */
export const maxChanges = 5_000;
/** The most ticks, and the most changes, that are read from the log at once. */
const ticksAtOnce = 16;
const changesAtOnce = 1_000;
const progressMs = 5_000;

/** The graph does not fit into the memory that it may take. */
export class GraphTooLargeError extends Error {
  override readonly name = "GraphTooLargeError";
  readonly bytes: number;

  constructor(bytes: number) {
    super("the graph is larger than it may be");
    this.bytes = bytes;
  }
}

/** The graph has, or may have, what the tables do not. */
export class GraphLostError extends Error {
  override readonly name = "GraphLostError";
}

/** Another session of the server answers than the one that has just begun. */
export class SessionSharedError extends Error {
  override readonly name = "SessionSharedError";

  constructor() {
    super(
      "the session of the server ended at once: behind a pooler that shares connections, as PgBouncer in transaction mode, " +
        "decisions ask the database",
    );
  }
}

/** A statement of the read index. */
export interface Confirmed {
  readonly read: IndexRead;
  /** When it was sent, by `performance.now()`. */
  readonly sentAt: number;
  /** A tick that was known to be stored when it was sent. */
  readonly tick: Tick;
}

/** A graph that follows the change log. */
export class GraphFollower {
  readonly journal: GraphJournal;
  readonly #source: GraphSource;
  /** The session of the server that vouches for what the graph has; undefined when it is over. */
  #session: string | undefined;
  /** A stored tick of which the graph has everything. What is newer is in the journal. */
  #base: Tick;
  /** The run of the server that has shown what is in the journal: see `DatabaseState`. */
  #run: bigint;
  /** Changes read from the log. */
  replayed = 0;

  private constructor(source: GraphSource, journal: GraphJournal, base: Tick, run: bigint) {
    this.#source = source;
    this.journal = journal;
    this.#base = base;
    this.#run = run;
  }

  /** Makes a graph of the tables. Throws a `GraphTooLargeError`. */
  static async load(source: GraphSource, options: LoadOptions, signal: AbortSignal): Promise<GraphFollower> {
    const { changes, readIndex, pages, log } = source;
    const graph = new RelationshipGraph({ follows: options.keepsFollows });
    const begunAt = performance.now();
    let saidAt = begunAt;
    const run = await readIndex.serverRun(signal);
    const from = await changes.newestTick(signal);
    await loadGraph(
      graph,
      pages,
      ({ table, rows }) => {
        const { bytes } = graph.size;
        if (bytes > options.maxBytes) throw new GraphTooLargeError(bytes);
        if (performance.now() - saidAt < progressMs) return;
        saidAt = performance.now();
        log.info({ table, rows, bytes }, "the graph is being loaded");
      },
      signal,
    );
    // What a crash takes away must not be in the graph. This tick is stored, and sees all that the pages saw, unless the
    // server has crashed in between.
    const to = await storeTick(changes, signal);
    const follower = new GraphFollower(source, new GraphJournal(graph), to, run);
    await follower.#replay(from, to, signal);
    if ((await readIndex.serverRun(signal)) !== run)
      throw new Error("the server was started anew, or has crashed, while the graph was loaded");
    follower.journal.settle();
    const ms = Math.round(performance.now() - begunAt);
    log.info({ ...graph.size, ms, follows: options.keepsFollows }, "the graph is loaded");
    return follower;
  }

  /** Where a read goes on; undefined when the session is over. */
  startAt(snapshot: string): ReadStart | undefined {
    return this.#session === undefined ? undefined : { session: this.#session, base: this.#base, snapshot };
  }

  /** The session is over: what it has shown since the base may be lost. */
  endSession(): void {
    this.#session = undefined;
  }

  /**
   * Brings the graph to the present. Meanwhile it has no state that the tables ever had, from the call of `onBegin` on. Throws
   * a `GraphLostError` when it cannot be used any more, `HISTORY_CHANGED` and `CURSOR_EXPIRED`.
   */
  async catchUp(onBegin: () => void, signal: AbortSignal): Promise<Confirmed> {
    const { changes, readIndex } = this.#source;
    const isNew = this.#session === undefined;
    const session = this.#session ?? (await readIndex.begin(signal));
    const run = isNew ? await readIndex.serverRun(signal) : this.#run;
    let { ticks } = await changes.ticksAfter(this.#base, ticksAtOnce, signal);
    onBegin();
    if (isNew) this.#rollBack(run);
    this.#session = session;
    for (;;) {
      const tick = await this.#replayAll(ticks, signal);
      const sentAt = performance.now();
      const read = await readIndex.read({ session, base: tick, snapshot: tick.snapshot }, maxChanges, signal);
      if (read === undefined) {
        this.endSession();
        throw new SessionSharedError();
      }
      // The session is older than the tick and has outlived it: their transaction ids are those of one server.
      this.#base = tick;
      this.#run = run;
      this.journal.settle(parseSnapshot(tick.snapshot));
      if (read.changes !== undefined) {
        this.apply(read);
        return { read, sentAt, tick };
      }
      ({ ticks } = await changes.ticksAfter(tick, ticksAtOnce, signal));
      if (ticks.length === 0) ticks = [await storeTick(changes, signal)];
    }
  }

  /** Takes back what the last session showed. Where that cannot be done, it is kept if the server has not crashed since. */
  #rollBack(run: bigint): void {
    if (!this.journal.isReversible && run === this.#run) return;
    if (!this.journal.rollBack())
      throw new GraphLostError("changes that the database may have lost cannot be taken back");
  }

  /** Applies what a statement of the session brought. */
  apply({ changes = [] }: IndexRead): void {
    for (const { change, xid } of changes) this.journal.apply(change, xid);
  }

  /** Makes the tick of a statement of the session the base, when the statement saw all of it. */
  settle({ tick, read: { state } }: Confirmed): void {
    if (tick.id <= this.#base.id) return;
    const snapshot = parseSnapshot(tick.snapshot);
    if (!includes(state, { kind: "state", server: tick.server, snapshot })) return;
    this.#base = tick;
    this.journal.settle(snapshot);
  }

  /** Applies all changes from the base to the last one of some ticks, and returns that. */
  async #replayAll(ticks: readonly Tick[], signal: AbortSignal): Promise<Tick> {
    let last = this.#base;
    for (const tick of ticks) {
      // What a session showed is settled only when it is known that the tick is of the same server.
      const { isSettled } = this.journal;
      await this.#replay(last, tick, signal);
      last = tick;
      if (!isSettled) continue;
      this.#base = tick;
      this.journal.settle();
    }
    return last;
  }

  /** Applies all changes between two ticks. */
  async #replay(from: Tick, to: Tick, signal: AbortSignal): Promise<void> {
    if (from.nonce === to.nonce) return;
    for (let after = 0n; ; ) {
      const page = await this.#source.changes.read(from, to, after, changesAtOnce, signal);
      for (const change of page) this.journal.apply(change);
      this.replayed += page.length;
      const last = page.at(-1);
      if (last === undefined || page.length < changesAtOnce) return;
      after = last.version;
    }
  }
}

async function storeTick(changes: ChangeLog, signal: AbortSignal): Promise<Tick> {
  for (;;) {
    const tick = await changes.tick({ force: true }, signal);
    if (tick !== undefined) return tick;
  }
}
