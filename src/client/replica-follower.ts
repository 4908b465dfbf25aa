import { Code, ConnectError } from "@connectrpc/connect";
import type { WatchChangesResponse } from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { ErrorReason } from "../../gen/nexgate/privacy/v1/error_reason_pb.ts";
import { callFailure } from "./errors.ts";
import { DatabaseClock, ElapsedClock } from "./replica-clock.ts";
import { ReplicaCopy } from "./replica-copy.ts";
import { isLasting, type ReplicaService } from "./replica-service.ts";
import { nextTurn, pause } from "./replica-timers.ts";

/** What happens to a follower. Called after its state has changed. */
interface FollowerListener {
  /** The copy has another state, or another age. */
  onState(): void;
  onReconnected(): void;
  onReloaded(): void;
  /** `lasting`: it fails again until somebody changes something. */
  onFailure(failure: Error, lasting: boolean): void;
  /** Called about every `heartbeatMs`. */
  onTick(): void;
}

interface FollowerOptions {
  readonly service: ReplicaService;
  readonly keepsFollows: boolean;
  readonly heartbeatMs: number;
  readonly listener: FollowerListener;
}

/** The stream is given up after so many heartbeats without a message. */
const silentHeartbeats = 4;
/** The pause after a failure, in milliseconds: doubled from failure to failure, and shortened by chance to half of it. */
const firstPauseMs = 100;
const longestPauseMs = 5_000;
/** The longest pause that the service can ask for. */
const longestRetryAfterMs = 60_000;
/** A stream that lasts shorter counts as a failure. */
const shortStreamMs = 2_000;
/** How often the clock of the database is looked at, in milliseconds. */
const compareMs = 60_000;
/** One that took longer is repeated soon. */
const vagueComparisonMs = 250;
/** How often at most: while it was never seen, and while the copy looks older than it should. */
const firstCompareMs = 500;
const soonCompareMs = 5_000;
/** A message with so many changes takes milliseconds to apply. */
const manyChanges = 500;

/** Errors after which the copy cannot be continued from its cursor. */
const reloadReasons: ReadonlySet<ErrorReason | undefined> = new Set([
  ErrorReason.CURSOR_EXPIRED,
  ErrorReason.HISTORY_CHANGED,
  ErrorReason.INVALID_CURSOR,
]);

/**
 * Keeps a copy as current as the service tells: by a snapshot, then by what changes. It resumes after a cut, and loads
 * another copy when it has to: until that is complete, it answers by the one that it has.
 */
export class ReplicaFollower {
  readonly clock = new ElapsedClock();
  readonly counts = { changes: 0, reconnects: 0, reloads: 0, failures: 0 };
  readonly #options: FollowerOptions;
  readonly #database = new DatabaseClock();
  readonly #closing = new AbortController();
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #ended: Promise<void>;
  /** The copy that answers. */
  #live: ReplicaCopy | undefined;
  /** The copy that is being loaded. */
  #loading: ReplicaCopy | undefined;
  /** When the time of the live copy came first, by `clock`. */
  #throughMicros: number | undefined;
  #broughtAt = 0;
  /** Gives up the stream that is open, for a reason. */
  #endStream: ((reason: Error) => void) | undefined;
  #isConnected = false;
  #wasConnected = false;
  #isAwaiting = false;
  #silentTicks = 0;
  #comparedAt = Number.NEGATIVE_INFINITY;
  #isComparing = false;
  /** How long the last comparison took: by so much the copy may look older than it is. */
  #comparisonMs = 0;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#loading = new ReplicaCopy(options.keepsFollows);
    this.#timer = setInterval(() => this.#tick(), options.heartbeatMs);
    this.#ended = this.#run();
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  get isLoading(): boolean {
    return this.#loading !== undefined;
  }

  /** The copy that answers, also while it has no state; undefined before the first one is complete. */
  get copy(): ReplicaCopy | undefined {
    return this.#live;
  }

  /** The size of all copies. */
  get bytes(): number {
    return (this.#live?.graph.size.bytes ?? 0) + (this.#loading?.graph.size.bytes ?? 0);
  }

  /**
   * The moment, by `clock`, at which the state of the copy was current at the earliest: what was acknowledged before is in it.
   * `-Infinity` while there is no state.
   */
  get currentAt(): number {
    const through = this.#live?.throughMicros;
    if (through === undefined) return Number.NEGATIVE_INFINITY;
    return Math.min(this.#broughtAt, this.#database.earliestAt(through));
  }

  /**
   * Asks the service for a time of the database that is later than everything acknowledged by now. Fails for a text that is no
   * consistency token, when the service does not answer, and when the clock of the database was set back.
   */
  async readTime(consistencyToken: string, signal: AbortSignal): Promise<number> {
    return (await this.#readTime(consistencyToken, signal)).time;
  }

  async #readTime(consistencyToken: string, signal: AbortSignal): Promise<{ sentAt: number; time: number }> {
    const sentAt = this.clock.now();
    const through = this.#live?.throughMicros ?? Number.NEGATIVE_INFINITY;
    const time = await this.#options.service.readTime(consistencyToken, signal);
    if (time === undefined) throw passing("the service cannot read the change log");
    if (time >= through) return { sentAt, time };
    // The copy may lack what its own time is later than. Another stream tells the present time.
    const failure = passing("the clock of the database was set back");
    this.#endStream?.(failure);
    throw failure;
  }

  /**
   * Asks the service whether the copy has everything up to a time. While nothing happens, the stream tells it by the next sign of
   * life, and no earlier.
   */
  async confirm(timeMicros: number, signal: AbortSignal): Promise<void> {
    const { service, keepsFollows, listener } = this.#options;
    const copy = this.#live;
    const { cursor, throughMicros } = copy ?? {};
    if (copy === undefined || cursor === undefined || throughMicros === undefined) return;
    if (throughMicros >= timeMicros) return;
    const through = await service.readThrough(cursor, keepsFollows, signal);
    if (through === undefined || copy !== this.#live) return;
    copy.confirm(cursor, through);
    this.#noteThrough(this.clock.now());
    listener.onState();
  }

  /** Ends everything. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    const reason = cancelled("the replica is closed");
    this.#closing.abort(reason);
    this.#endStream?.(reason);
    await this.#ended;
    this.#live = undefined;
    this.#loading = undefined;
  }

  async #run(): Promise<void> {
    let pauseMs = firstPauseMs;
    while (!this.#closing.signal.aborted) {
      const begunAt = this.clock.now();
      let failure: Error;
      try {
        await this.#follow();
        failure = passing("the stream has ended");
      } catch (thrown) {
        failure = thrown instanceof Error ? thrown : new Error(String(thrown));
      }
      this.#isConnected = false;
      if (this.#closing.signal.aborted) return;
      const { reason, retryAfterMs = 0 } = callFailure(failure) ?? {};
      if (reloadReasons.has(reason)) this.#loading = new ReplicaCopy(this.#options.keepsFollows);
      this.#noteFailure(failure);
      if (this.clock.now() - begunAt > shortStreamMs) pauseMs = firstPauseMs;
      const askedMs = Math.min(retryAfterMs, longestRetryAfterMs);
      await pause(Math.max(pauseMs * (0.5 + Math.random() / 2), askedMs), this.#closing.signal);
      pauseMs = Math.min(longestPauseMs, pauseMs * 2);
    }
  }

  /** Follows by one stream, until it fails. */
  async #follow(): Promise<void> {
    const copy = this.#loading ?? (this.#live as ReplicaCopy);
    const stream = new AbortController();
    let reason: Error | undefined;
    this.#endStream = (why) => {
      reason ??= why;
      // With any other code the transport reports a failure of this process to the service.
      stream.abort(cancelled(why.message));
    };
    copy.beginStream();
    this.#awaitMessage();
    try {
      await this.#readStream(copy, stream.signal);
    } catch (failure) {
      // What the stream was given up for says more than how the transport reports it.
      throw reason ?? failure;
    } finally {
      this.#isAwaiting = false;
      this.#endStream = undefined;
      stream.abort(cancelled("the stream is over"));
    }
  }

  async #readStream(copy: ReplicaCopy, signal: AbortSignal): Promise<void> {
    const { service } = this.#options;
    for await (const message of await service.watch(copy.cursor, this.#options, signal)) {
      this.#isAwaiting = false;
      await this.#take(copy, message);
      signal.throwIfAborted();
      this.#awaitMessage();
    }
  }

  async #take(copy: ReplicaCopy, message: WatchChangesResponse): Promise<void> {
    const { listener } = this.#options;
    const receivedAt = this.clock.now();
    try {
      await copy.take(message);
    } catch (failure) {
      this.#loading = new ReplicaCopy(this.#options.keepsFollows);
      throw failure;
    }
    this.counts.changes += message.changes.length;
    if (copy === this.#loading && copy.isLoaded) {
      const isFirst = this.#live === undefined;
      this.#live = copy;
      this.#loading = undefined;
      if (!isFirst) {
        this.counts.reloads++;
        listener.onReloaded();
      }
    }
    this.#noteThrough(receivedAt);
    // The service may have another database since.
    if (!this.#isConnected) this.#comparedAt = Number.NEGATIVE_INFINITY;
    this.#noteConnected();
    listener.onState();
    this.#compareClocks();
    if (message.changes.length >= manyChanges) await nextTurn();
  }

  #noteThrough(receivedAt: number): void {
    const through = this.#live?.throughMicros;
    if (through === undefined || through === this.#throughMicros) return;
    this.#throughMicros = through;
    this.#broughtAt = receivedAt;
  }

  #noteFailure(failure: Error): void {
    this.counts.failures++;
    this.#options.listener.onFailure(failure, isLasting(failure));
  }

  #noteConnected(): void {
    if (this.#isConnected) return;
    this.#isConnected = true;
    if (this.#wasConnected) {
      this.counts.reconnects++;
      this.#options.listener.onReconnected();
    }
    this.#wasConnected = true;
  }

  #awaitMessage(): void {
    this.#silentTicks = 0;
    this.#isAwaiting = true;
  }

  #tick(): void {
    // A process that was frozen gets one tick for all that it missed, and then what came meanwhile.
    if (this.#isAwaiting) this.#silentTicks++;
    if (this.#silentTicks > silentHeartbeats) this.#endStream?.(passing("the service gave no sign of life"));
    this.#options.listener.onTick();
  }

  /** Looks at the clock of the database when it is time to. */
  #compareClocks(): void {
    if (this.#isComparing) return;
    const now = this.clock.now();
    const looksOld = now - this.currentAt > 2 * this.#options.heartbeatMs;
    // A time that came before the clock can have shown it: that was set forward.
    const isWrong = this.#database.earliestAt(this.#throughMicros ?? 0) > this.#broughtAt;
    const isVague = this.#comparisonMs > vagueComparisonMs;
    const knownMs = looksOld || isWrong || isVague ? soonCompareMs : compareMs;
    const interval = this.#database.isKnown ? knownMs : firstCompareMs;
    if (now - this.#comparedAt < interval) return;
    this.#comparedAt = now;
    this.#isComparing = true;
    this.#readTime("", this.#closing.signal)
      .then(({ sentAt, time }) => {
        this.#database.compare(sentAt, time);
        this.#comparisonMs = this.clock.now() - sentAt;
        this.#options.listener.onState();
      })
      .catch((failure) => {
        // Once it is known, the stream tells what is wrong.
        if (!this.#database.isKnown && !this.#closing.signal.aborted) this.#noteFailure(failure);
      })
      .finally(() => {
        this.#isComparing = false;
      });
  }
}

/** Why a call is given up. */
function cancelled(message: string): ConnectError {
  return new ConnectError(message, Code.Canceled);
}

/** A transient failure. */
function passing(message: string): ConnectError {
  return new ConnectError(message, Code.Unavailable);
}
