import { setTimeout as delay } from "node:timers/promises";
import type { AccessQuery, Decision } from "../domain/access.ts";
import { type ConsistencyToken, type DatabaseState, includes } from "../domain/consistency.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { GraphSize } from "../graph/relationship-graph.ts";
import { factsQuery } from "../store/access.ts";
import type { Tick } from "../store/change-log.ts";
import type { AuditRead, IndexRead, ReadStart } from "../store/read-index.ts";
import { auditedQueries, differences, GraphAudit } from "./graph-audit.ts";
import {
  type Confirmed,
  GraphFollower,
  GraphLostError,
  type GraphSource,
  GraphTooLargeError,
  maxChanges,
  SessionSharedError,
} from "./graph-follower.ts";

/** What the graph does: only a `ready` one is current. One that is `too_large` is given up. */
export const graphModes = ["loading", "catching_up", "ready", "too_large"] as const;
export type GraphMode = (typeof graphModes)[number];

interface IndexOptions extends GraphSource {
  /** The newest tick that this instance knows of. */
  readonly newestTick: () => Tick;
  readonly maxBytes: number;
  /** How often the graph is compared with the tables, in milliseconds: by default by 1,000 queries a minute. */
  readonly auditMs?: number;
}

/** The log is read so often without being asked, in milliseconds: so that no read has very many changes. */
const pollMs = 500;
const defaultAuditMs = (60_000 * auditedQueries) / 1_000;
/** The pause after a failure, in milliseconds: doubled from failure to failure. */
const firstPauseMs = 100;
const longestPauseMs = 5_000;
/** A session that lasts shorter counts as a failure. A pooler that shares connections ends each one soon. */
const shortSessionMs = 2_000;

/** Why the graph is not current any more. */
type Loss = "the session ended" | "too many changes" | Error;

/** Called with whether the graph is current. */
type Waiter = (isCurrent: boolean) => void;

/**
 * Keeps the relationship graph of this process as current as the tables. `confirm` waits for a statement that was sent
 * after the call: nothing that was acknowledged before it is missing then.
 *
 * While the graph is loaded, and while it is behind, `confirm` resolves to false: the tables are to be asked.
 */
export class RelationshipIndex {
  readonly #options: IndexOptions;
  readonly #closing = new AbortController();
  readonly #ended: Promise<void>;
  readonly #audit = new GraphAudit();
  #mode: GraphMode = "loading";
  #follower: GraphFollower | undefined;
  /** The last statement; undefined while the graph has no state that the tables had. */
  #confirmed: Confirmed | undefined;
  #waiting: Waiter[] = [];
  #isReading = false;
  #isPlanned = false;
  #lose: (loss: Loss) => void = () => {};
  /** What the next statement is to be compared by. */
  #auditQueries: readonly AccessQuery[] | undefined;
  #auditedAt = performance.now();
  #keepsFollows = true;
  /** The last failure that was logged; undefined while the graph is current. */
  #reported: string | undefined = "loading";
  /** Whether it was that another session answers than the one that began. */
  #sharesSessions = false;
  readonly #counts = { statements: 0, changes: 0, loads: 0, differences: 0 };

  constructor(options: IndexOptions) {
    this.#options = options;
    this.#ended = this.#run();
  }

  /** Gauge. */
  get mode(): GraphMode {
    return this.#mode;
  }

  /** Gauge: whether follows are in the graph. */
  get keepsFollows(): boolean {
    return this.#keepsFollows;
  }

  /** Gauge: what is in the graph. */
  get size(): GraphSize {
    return this.#follower?.journal.graph.size ?? { users: 0, edges: 0, bytes: 0 };
  }

  /** Counters: statements, changes that they brought, loads of the tables, and decisions that differed from the tables. */
  get counts(): Readonly<Record<"statements" | "changes" | "loads" | "differences", number>> {
    return { ...this.#counts, changes: this.#counts.changes + (this.#follower?.replayed ?? 0) };
  }

  /** How old what the graph says may be, in milliseconds; infinite while it says nothing. */
  get ageMs(): number {
    return this.#confirmed === undefined
      ? Number.POSITIVE_INFINITY
      : performance.now() - this.#confirmed.sentAt;
  }

  /** The state that `decide` rests on; undefined while there is none. */
  get state(): DatabaseState | undefined {
    return this.#confirmed?.read.state;
  }

  /** Whether the graph certainly has everything that a token names. */
  includes(token: ConsistencyToken): boolean {
    if (this.#confirmed === undefined) return false;
    const { state, now } = this.#confirmed.read;
    // After a crash of the server, a later transaction may have the id of one that the state has seen.
    return includes(state, token) && (token.kind === "state" || token.at <= BigInt(now));
  }

  /**
   * Waits until the graph has everything that was committed before the call. Resolves to false when the tables must be
   * asked. Rejects with the signal's reason when it aborts.
   */
  confirm(signal: AbortSignal): Promise<boolean> {
    if (this.#mode !== "ready") return Promise.resolve(false);
    if (signal.aborted) return Promise.reject(signal.reason);
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const waiter: Waiter = (isCurrent) => {
      signal.removeEventListener("abort", onAbort);
      resolve(isCurrent);
    };
    const onAbort = () => {
      this.#waiting = this.#waiting.filter((other) => other !== waiter);
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort);
    this.#waiting.push(waiter);
    this.#planRead();
    return promise;
  }

  /**
   * Decides by the state `state`, as of its time. Undefined where the tables must be asked: without a state, and where
   * follows decide that are not kept.
   */
  decide(query: AccessQuery): Decision | undefined {
    if (this.#confirmed === undefined) return undefined;
    this.#audit.note(query);
    return this.#follower?.journal.graph.decide(query, this.#confirmed.read.now);
  }

  /** Decides queries as `decide` does, in their order; when they are many, in less time. */
  decideAll(queries: readonly AccessQuery[]): (Decision | undefined)[] {
    if (queries.length === 1) return queries.map((query) => this.decide(query));
    const graph = this.#follower?.journal.graph;
    if (graph === undefined || this.#confirmed === undefined) return queries.map(() => undefined);
    for (const query of queries) this.#audit.note(query);
    return graph.decideAll(queries, this.#confirmed.read.now);
  }

  /** Ends everything. Calls that wait are told to ask the tables. */
  async close(): Promise<void> {
    this.#closing.abort(new PrivacyError("UNAVAILABLE"));
    this.#lose("the session ended");
    await this.#ended;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    let pauseMs = firstPauseMs;
    while (!signal.aborted && this.#mode !== "too_large") {
      try {
        this.#follower ??= await this.#load(signal);
        await this.#catchUp(this.#follower, signal);
        const servesFrom = performance.now();
        try {
          await this.#serve(this.#follower, signal);
        } finally {
          if (performance.now() - servesFrom > shortSessionMs) pauseMs = firstPauseMs;
        }
      } catch (failure) {
        this.#stopAnswering();
        if (signal.aborted) break;
        if (failure instanceof GraphTooLargeError) {
          this.#degrade(failure);
          continue;
        }
        this.#report(failure);
        if (isOfNoUse(failure)) this.#forget();
        await delay(pauseMs, undefined, { signal, ref: false }).catch(() => {});
        pauseMs = Math.min(longestPauseMs, pauseMs * 2);
      }
    }
    this.#stopAnswering();
  }

  #load(signal: AbortSignal): Promise<GraphFollower> {
    this.#mode = "loading";
    this.#counts.loads++;
    const { maxBytes } = this.#options;
    return GraphFollower.load(this.#options, { maxBytes, keepsFollows: this.#keepsFollows }, signal);
  }

  /** Takes the next step to a smaller graph. */
  #degrade({ bytes }: GraphTooLargeError): void {
    const { log, maxBytes } = this.#options;
    this.#forget();
    if (this.#keepsFollows) {
      this.#keepsFollows = false;
      log.warn({ bytes, maxBytes }, "the graph is larger than GRAPH_MEMORY_MB: follows stay in the database");
    } else {
      this.#mode = "too_large";
      log.warn({ bytes, maxBytes }, "the graph is larger than GRAPH_MEMORY_MB: decisions ask the database");
    }
  }

  async #catchUp(follower: GraphFollower, signal: AbortSignal): Promise<void> {
    this.#mode = "catching_up";
    this.#stopAnswering();
    const onBegin = () => {
      this.#confirmed = undefined;
    };
    this.#confirmed = await follower.catchUp(onBegin, signal);
  }

  /** Answers until the graph is not current any more. */
  async #serve(follower: GraphFollower, signal: AbortSignal): Promise<void> {
    const { maxBytes, auditMs = defaultAuditMs, log } = this.#options;
    const lost = new AbortController();
    const ended = AbortSignal.any([signal, lost.signal]);
    const begunAt = performance.now();
    this.#lose = (loss) => lost.abort(loss);
    this.#mode = "ready";
    try {
      for (;;) {
        // Sessions that end at once begin again and again: that is logged once.
        if (!this.#sharesSessions || performance.now() - begunAt > shortSessionMs) this.#report(undefined);
        await delay(pollMs, undefined, { signal: ended, ref: false }).catch(() => {});
        if (signal.aborted) return;
        if (lost.signal.aborted) {
          const loss: Loss = lost.signal.reason;
          if (loss !== "too many changes") follower.endSession();
          if (!this.#sharesSessions) log.info({ reason: String(loss) }, "the graph is behind the database");
          if (loss instanceof Error) throw loss;
          if (loss === "the session ended" && performance.now() - begunAt < shortSessionMs)
            throw new SessionSharedError();
          return;
        }
        if (this.#confirmed !== undefined) follower.settle(this.#confirmed);
        if (this.size.bytes > maxBytes) throw new GraphTooLargeError(this.size.bytes);
        // A failure that lasts ends the session too.
        if (performance.now() - this.#auditedAt > auditMs) await this.#planAudit(signal).catch(() => {});
        if (this.ageMs > pollMs) this.#planRead();
      }
    } finally {
      // What is still under way belongs to no session any more.
      this.#lose = () => {};
    }
  }

  async #planAudit(signal: AbortSignal): Promise<void> {
    this.#auditedAt = performance.now();
    const edges = await this.#options.readIndex.sampleEdges(auditedQueries, signal);
    this.#auditQueries = this.#audit.queries(edges);
  }

  /** Sends a statement when the event loop has handled what it has read: the calls that came together share it. */
  #planRead(): void {
    if (this.#isReading || this.#isPlanned) return;
    this.#isPlanned = true;
    setImmediate(() => {
      this.#isPlanned = false;
      if (!this.#isReading) void this.#read();
    });
  }

  /** Sends a statement for all who wait. One is under way at a time, so that what they bring is applied in its order. */
  async #read(): Promise<void> {
    const follower = this.#follower;
    const from = this.#confirmed?.read.snapshot;
    const start = from === undefined ? undefined : follower?.startAt(from);
    if (follower === undefined || start === undefined) return this.#stopAnswering();
    const lose = this.#lose;
    const waiting = this.#waiting;
    const audited = this.#auditQueries;
    this.#waiting = [];
    this.#auditQueries = undefined;
    this.#isReading = true;
    const sentAt = performance.now();
    const tick = this.#options.newestTick();
    let loss: Loss | undefined;
    try {
      const read = await this.#send(start, audited);
      if (this.#lose === lose) loss = this.#accept(follower, read && { read, sentAt, tick }, audited);
    } catch (failure) {
      loss = failure as Error;
    }
    this.#isReading = false;
    const isCurrent = this.#lose === lose && loss === undefined;
    for (const waiter of waiting) waiter(isCurrent);
    if (this.#lose === lose && loss !== undefined) {
      this.#stopAnswering();
      lose(loss);
    } else if (this.#waiting.length > 0) this.#planRead();
  }

  /** Applies what a statement brought. Returns why the graph is not current, if so. */
  #accept(
    follower: GraphFollower,
    confirmed: Confirmed | undefined,
    audited: readonly AccessQuery[] | undefined,
  ): Loss | undefined {
    if (confirmed === undefined) return "the session ended";
    const { read } = confirmed;
    if (read.changes === undefined) return "too many changes";
    // While they are applied, the graph has no state of the tables.
    this.#confirmed = undefined;
    follower.apply(read);
    this.#counts.statements++;
    this.#counts.changes += read.changes.length;
    this.#confirmed = confirmed;
    if (audited === undefined || this.#isEqual(audited, read as AuditRead)) return undefined;
    this.#confirmed = undefined;
    return new GraphLostError("the graph differs from the tables");
  }

  #send(start: ReadStart, audited: readonly AccessQuery[] | undefined): Promise<IndexRead | undefined> {
    const { readIndex } = this.#options;
    const { signal } = this.#closing;
    return audited === undefined
      ? readIndex.read(start, maxChanges, signal)
      : readIndex.audit(start, maxChanges, audited.map(factsQuery), signal);
  }

  #isEqual(queries: readonly AccessQuery[], { facts }: AuditRead): boolean {
    const found = differences(queries, facts, (query) => this.decide(query));
    this.#counts.differences += found;
    return found === 0;
  }

  /** From now on the tables are asked. */
  #stopAnswering(): void {
    if (this.#mode === "ready") this.#mode = "catching_up";
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) waiter(false);
  }

  #forget(): void {
    this.#stopAnswering();
    this.#counts.changes += this.#follower?.replayed ?? 0;
    this.#follower = undefined;
    this.#confirmed = undefined;
  }

  /** Logs a failure, or its end, once. */
  #report(failure: unknown): void {
    const text = failure === undefined ? undefined : String(failure);
    if (text === this.#reported) return;
    this.#reported = text;
    this.#sharesSessions = failure instanceof SessionSharedError;
    const { log } = this.#options;
    if (failure === undefined) log.info("the graph is current");
    else if (failure instanceof GraphLostError) log.error({ err: failure }, "the graph is dropped");
    else log.warn({ err: failure }, "the graph cannot be kept current");
  }
}

/** Whether the graph has to be loaded again after a failure. */
function isOfNoUse(failure: unknown): boolean {
  return (
    failure instanceof GraphLostError ||
    (failure instanceof PrivacyError &&
      (failure.reason === "HISTORY_CHANGED" || failure.reason === "CURSOR_EXPIRED"))
  );
}
