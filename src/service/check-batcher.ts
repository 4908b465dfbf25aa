import { setImmediate as nextTurn } from "node:timers/promises";
import { overloaded } from "../domain/errors.ts";

/** Reads the results of some queries by one statement, in their order. */
export type ReadBatch<Query, Result> = (queries: Query[], signal: AbortSignal) => Promise<Result[]>;

/** How queries share batches. */
export interface BatchLimits {
  /** The most queries of one batch. */
  readonly batchSize: number;
  /** How much of each batch the large calls get while small ones wait; a call with more pending queries is large. */
  readonly largeCallQuota: number;
  /** The most batches running at once. */
  readonly concurrency: number;
  /** The most queries that wait for a batch, as a bound of memory: calls beyond it are refused. */
  readonly maxPending: number;
}

/**
 * As many batches at once as the pool for checks has connections. `maxPending` has room for a burst of 300 calls of 100
 * queries.
 */
export const checkBatchLimits: BatchLimits = {
  batchSize: 1_000,
  largeCallQuota: 250,
  concurrency: 4,
  maxPending: 32_000,
};

/** Observes batches. */
export interface BatchHooks<Trace = unknown> {
  /** Called with the number of queries of each batch. */
  readonly onSend?: (queries: number) => void;
  /** Links each batch to the calls that it is sent for. */
  readonly tracer?: BatchTracer<Trace> | undefined;
}

interface BatchTracer<Trace> {
  /** The current call. */
  current(): Trace;
  /** Sends the batch of some calls. */
  shared<T>(calls: readonly Trace[], send: () => T): T;
}

/** A call that waits for results. */
interface PendingCall<Query, Result> {
  readonly queries: readonly Query[];
  readonly results: Result[];
  readonly trace: unknown;
  /** The running batches with queries of this call. */
  readonly batches: Set<Batch<Query, Result>>;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
  /** How many queries were sent, and how many have their result. */
  sent: number;
  received: number;
}

/** A part of a call's queries. */
interface Part<Query, Result> {
  readonly call: PendingCall<Query, Result>;
  readonly from: number;
  readonly to: number;
}

/** A running statement: its parts, and the calls that still wait for it. */
interface Batch<Query, Result> {
  readonly parts: readonly Part<Query, Result>[];
  readonly calls: Set<PendingCall<Query, Result>>;
  readonly cancel: AbortController;
}

/** So many results are handed out before other events are handled: answering callers takes time. */
const resultsPerTurn = 250;

/**
 * Answers the queries of many calls by few statements, as DataLoader does: the calls of one turn of the event loop share
 * batches. A call is sent at once when no batch is running.
 *
 * Nothing is cached: a query is sent after it was asked, and never joins a running batch. A batch that fails fails all of
 * its calls. It is cancelled only when none of its calls waits any more.
 */
export class CheckBatcher<Query, Result> {
  readonly #read: ReadBatch<Query, Result>;
  readonly #limits: BatchLimits;
  readonly #hooks: BatchHooks;
  #waiting: PendingCall<Query, Result>[] = [];
  #pendingQueries = 0;
  #running = 0;
  #isScheduled = false;

  constructor(read: ReadBatch<Query, Result>, limits: BatchLimits, hooks: BatchHooks = {}) {
    this.#read = read;
    this.#limits = limits;
    this.#hooks = hooks;
  }

  /** Gauge: calls with queries that wait for a batch. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Gauge: queries that wait for a batch. */
  get pendingQueries(): number {
    return this.#pendingQueries;
  }

  /** Whether new calls are refused, to bound memory. */
  get isFull(): boolean {
    return this.#pendingQueries >= this.#limits.maxPending;
  }

  /** Gauge: running batches. */
  get inFlight(): number {
    return this.#running;
  }

  /**
   * Returns the result of each query. Rejects with the reason of the cancellation as soon as the caller gives up, and
   * with `OVERLOADED` beyond `maxPending`.
   */
  load(queries: readonly Query[], signal: AbortSignal): Promise<Result[]> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (queries.length === 0) return Promise.resolve([]);
    if (this.isFull) return Promise.reject(overloaded());
    const { promise, resolve, reject } = Promise.withResolvers<Result[]>();
    const onAbort = () => call.reject(signal.reason);
    const call: PendingCall<Query, Result> = {
      queries,
      results: new Array(queries.length),
      trace: this.#hooks.tracer?.current(),
      batches: new Set(),
      resolve: () => {
        signal.removeEventListener("abort", onAbort);
        resolve(call.results);
      },
      reject: (reason) => {
        signal.removeEventListener("abort", onAbort);
        this.#drop(call);
        reject(reason);
      },
      sent: 0,
      received: 0,
    };
    signal.addEventListener("abort", onAbort);
    this.#waiting.push(call);
    this.#pendingQueries += queries.length;
    if (this.#running === 0) this.#flush();
    else if (!this.#isScheduled) {
      this.#isScheduled = true;
      setImmediate(() => {
        this.#isScheduled = false;
        this.#flush();
      });
    }
    return promise;
  }

  #flush(): void {
    while (this.#waiting.length > 0 && this.#running < this.#limits.concurrency) {
      const parts = planBatch(this.#waiting, this.#limits);
      for (const { call, from, to } of parts) {
        call.sent = to;
        this.#pendingQueries -= to - from;
      }
      this.#waiting = this.#waiting.filter((call) => pending(call) > 0);
      void this.#run({ parts, calls: new Set(parts.map(({ call }) => call)), cancel: new AbortController() });
    }
  }

  async #run(batch: Batch<Query, Result>): Promise<void> {
    const { parts, calls, cancel } = batch;
    for (const call of calls) call.batches.add(batch);
    this.#running++;
    let results: Result[] = [];
    try {
      const queries = parts.flatMap(({ call, from, to }) => call.queries.slice(from, to));
      const { onSend, tracer } = this.#hooks;
      onSend?.(queries.length);
      const send = () => this.#read(queries, cancel.signal);
      const traces = () => Array.from(calls, ({ trace }) => trace);
      results = await (tracer === undefined ? send() : tracer.shared(traces(), send));
      if (results.length !== queries.length)
        throw new Error(`${results.length} results for ${queries.length} queries`);
    } catch (failure) {
      for (const call of calls) call.reject(failure);
      return;
    } finally {
      for (const call of calls) call.batches.delete(batch);
      this.#running--;
      this.#flush();
    }
    await deliver(parts, results);
  }

  /** Forgets a call, and cancels the batches in which it was the last one. */
  #drop(call: PendingCall<Query, Result>): void {
    if (pending(call) > 0) {
      this.#waiting = this.#waiting.filter((other) => other !== call);
      this.#pendingQueries -= pending(call);
    }
    for (const batch of call.batches) {
      batch.calls.delete(call);
      if (batch.calls.size === 0) batch.cancel.abort();
    }
  }
}

/**
 * The parts of the next batch: all small calls, then the large ones, each in the order of arrival. While small calls could
 * fill the batch, the oldest large call still gets its quota. Large calls do not take turns: they would all end together,
 * and leave the database idle while they are answered.
 */
function planBatch<Query, Result>(
  waiting: readonly PendingCall<Query, Result>[],
  { batchSize, largeCallQuota }: BatchLimits,
): Part<Query, Result>[] {
  const parts: Part<Query, Result>[] = [];
  const fill = (calls: readonly PendingCall<Query, Result>[], room: number) => {
    let left = room;
    for (const call of calls) {
      const size = Math.min(pending(call), left);
      if (size === 0) break;
      parts.push({ call, from: call.sent, to: call.sent + size });
      left -= size;
    }
    return left;
  };
  const large = waiting.filter((call) => pending(call) > largeCallQuota);
  const small = waiting.filter((call) => pending(call) <= largeCallQuota);
  const reserved = large.length === 0 ? 0 : Math.min(largeCallQuota, batchSize);
  fill(large, reserved + fill(small, batchSize - reserved));
  return parts;
}

/** How many queries of a call wait for a batch. */
function pending({ queries, sent }: PendingCall<unknown, unknown>): number {
  return queries.length - sent;
}

/** Hands out the results of a batch, over several turns of the event loop when there are many. */
async function deliver<Query, Result>(
  parts: readonly Part<Query, Result>[],
  results: readonly Result[],
): Promise<void> {
  let next = 0;
  let turnEnd = resultsPerTurn;
  for (const { call, from, to } of parts) {
    if (next >= turnEnd) {
      await nextTurn();
      turnEnd = next + resultsPerTurn;
    }
    for (let i = from; i < to; i++) call.results[i] = results[next++] as Result;
    call.received += to - from;
    if (call.received === call.queries.length) call.resolve();
  }
}
