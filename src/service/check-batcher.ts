import { overloaded } from "../domain/errors.ts";

/** Reads the results of some queries by one statement, in their order. */
export type ReadBatch<Query, Result> = (
  queries: readonly Query[],
  signal: AbortSignal,
) => Promise<readonly Result[]>;

/** How queries share statements. */
export interface BatchLimits {
  /** The most queries of a statement that calls share. A large call has more, and a statement of its own. */
  readonly batchSize: number;
  /** The most statements of large calls at once. */
  readonly largeCalls: number;
  /** The most queries in progress, as a bound of memory: calls beyond it are refused. */
  readonly maxPending: number;
}

/**
 * A large call leaves a connection of the pool for checks to the others. `maxPending` has room for a burst of 300 calls
 * of 100 queries.
 */
export const checkBatchLimits: BatchLimits = { batchSize: 64, largeCalls: 3, maxPending: 32_000 };

/** Observes statements. */
export interface BatchHooks<Trace = unknown> {
  /** Called with the number of queries of each statement. */
  readonly onSend?: (queries: number) => void;
  /** Links each statement to the calls that it is sent for. */
  readonly tracer?: BatchTracer<Trace> | undefined;
}

interface BatchTracer<Trace> {
  /** The current call. */
  current(): Trace;
  /** Sends the statement of some calls. */
  shared<T>(calls: readonly Trace[], send: () => T): T;
}

/** A call that waits for its results. */
interface PendingCall<Query, Result> {
  readonly queries: readonly Query[];
  readonly trace: unknown;
  readonly resolve: (results: Result[]) => void;
  readonly reject: (reason: unknown) => void;
  /** Called when the caller gives up. */
  leave: () => void;
}

/** Calls of one kind, in the order of arrival. */
interface Lane<Query, Result> {
  readonly waiting: Set<PendingCall<Query, Result>>;
  readonly maxRunning: number;
  running: number;
}

/**
 * Answers the queries of many calls by few statements. A call is sent at once when no statement is running. Those that
 * arrive meanwhile share the next one. Large calls do not share, and hold up no others.
 *
 * Nothing is cached: a query is sent after it was asked. A statement that fails fails all of its calls. It is cancelled
 * only when none of them waits any more.
 */
export class CheckBatcher<Query, Result> {
  readonly #read: ReadBatch<Query, Result>;
  readonly #limits: BatchLimits;
  readonly #hooks: BatchHooks;
  readonly #small: Lane<Query, Result> = { waiting: new Set(), maxRunning: 1, running: 0 };
  readonly #large: Lane<Query, Result>;
  #pendingQueries = 0;

  constructor(read: ReadBatch<Query, Result>, limits: BatchLimits, hooks: BatchHooks = {}) {
    this.#read = read;
    this.#limits = limits;
    this.#hooks = hooks;
    this.#large = { waiting: new Set(), maxRunning: limits.largeCalls, running: 0 };
  }

  /** Gauge: calls that wait for their statement to be sent. */
  get waiting(): number {
    return this.#small.waiting.size + this.#large.waiting.size;
  }

  /** Whether new calls are refused, to bound memory. */
  get isFull(): boolean {
    return this.#pendingQueries >= this.#limits.maxPending;
  }

  /**
   * Returns the result of each query. Rejects with the reason of the cancellation as soon as the caller gives up, and
   * with `OVERLOADED` beyond `maxPending`.
   */
  async load(queries: readonly Query[], signal: AbortSignal): Promise<Result[]> {
    signal.throwIfAborted();
    if (queries.length === 0) return [];
    if (this.isFull) throw overloaded();
    const lane = queries.length > this.#limits.batchSize ? this.#large : this.#small;
    const { promise, resolve, reject } = Promise.withResolvers<Result[]>();
    const call: PendingCall<Query, Result> = {
      queries,
      trace: this.#hooks.tracer?.current(),
      resolve,
      reject,
      leave: () => lane.waiting.delete(call),
    };
    const onAbort = () => {
      call.leave();
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort);
    this.#pendingQueries += queries.length;
    lane.waiting.add(call);
    this.#send(lane);
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#pendingQueries -= queries.length;
    }
  }

  #send(lane: Lane<Query, Result>): void {
    while (lane.running < lane.maxRunning && lane.waiting.size > 0)
      void this.#run(lane, this.#takeBatch(lane.waiting));
  }

  /** Takes the calls that have waited longest and fit into one statement: at least one. */
  #takeBatch(waiting: Set<PendingCall<Query, Result>>): PendingCall<Query, Result>[] {
    const calls: PendingCall<Query, Result>[] = [];
    let size = 0;
    for (const call of waiting) {
      size += call.queries.length;
      if (calls.length > 0 && size > this.#limits.batchSize) break;
      calls.push(call);
      waiting.delete(call);
    }
    return calls;
  }

  async #run(lane: Lane<Query, Result>, calls: readonly PendingCall<Query, Result>[]): Promise<void> {
    const cancel = new AbortController();
    let callers = calls.length;
    for (const call of calls)
      call.leave = () => {
        if (--callers === 0) cancel.abort();
      };
    lane.running++;
    try {
      const queries = calls.flatMap((call) => call.queries);
      const { onSend, tracer } = this.#hooks;
      onSend?.(queries.length);
      const send = () => this.#read(queries, cancel.signal);
      const traces = () => calls.map(({ trace }) => trace);
      const results = await (tracer === undefined ? send() : tracer.shared(traces(), send));
      if (results.length !== queries.length)
        throw new Error(`${results.length} results for ${queries.length} queries`);
      let from = 0;
      for (const { queries: asked, resolve } of calls) {
        resolve(results.slice(from, from + asked.length));
        from += asked.length;
      }
    } catch (failure) {
      for (const call of calls) call.reject(failure);
    } finally {
      lane.running--;
      this.#send(lane);
    }
  }
}
