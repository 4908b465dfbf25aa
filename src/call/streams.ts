/** How many chunks are merged into one. */
const mergedCount = 128;

/**
 * The chunks of a body that is being read. A client can cut it into chunks of one byte each, and Node makes a buffer of
 * more than a hundred bytes for each: without merging, small bodies could take a hundred times their size.
 */
export class ChunkBuffer {
  readonly #merged: Buffer[] = [];
  #recent: Buffer[] = [];
  #bytes = 0;

  /** The number of bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  push(chunk: Buffer): void {
    this.#bytes += chunk.length;
    this.#recent.push(chunk);
    if (this.#recent.length < mergedCount) return;
    this.#merged.push(Buffer.concat(this.#recent));
    this.#recent = [];
  }

  /** All chunks in their order, some merged. */
  all(): readonly Buffer[] {
    return this.#merged.length === 0 ? this.#recent : [...this.#merged, ...this.#recent];
  }

  /** All bytes; those of a single chunk are not copied. */
  concat(): Buffer {
    const all = this.all();
    const [first] = all;
    return first?.length === this.#bytes ? first : Buffer.concat(all, this.#bytes);
  }
}

/**
 * The messages of a stream until `signal` aborts. Then `stopped` is called, which may throw the failure of the call, and
 * the stream ends although its sender may go on.
 */
export async function* takeUntilAborted<Message>(
  messages: AsyncIterable<Message>,
  signal: AbortSignal,
  stopped: () => void = () => {},
): AsyncGenerator<Message, void> {
  const source = messages[Symbol.asyncIterator]();
  let stop = () => {};
  const onAbort = () => stop();
  signal.addEventListener("abort", onAbort);
  try {
    for (;;) {
      // A promise for each message: reactions to a single one for the whole stream would be kept until its end.
      const next = Promise.withResolvers<IteratorResult<Message> | undefined>();
      stop = () => next.resolve(undefined);
      if (signal.aborted) stop();
      else source.next().then(next.resolve, next.reject);
      const result = await next.promise;
      if (result === undefined) return stopped();
      if (result.done) return;
      yield result.value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    const returned = source.return?.().catch(() => {});
    // After the abort it would wait for the message that may never come.
    if (!signal.aborted) await returned;
  }
}

/** How many tasks run before the work that they begin goes on. */
const batchSize = 16;

let deferred: (() => void)[] = [];

/**
 * Runs a task after the event loop has handled all that it has read. A stream that is opened and reset by the same
 * bytes is closed by then, so that a flood of them costs next to nothing. All tasks of a turn share one immediate, and
 * run in batches: admission control sees the calls of one batch before the next begins.
 */
export function deferToNextTurn(task: () => void): void {
  if (deferred.push(task) > 1) return;
  setImmediate(() => {
    const turn = deferred;
    deferred = [];
    runBatch(turn, 0);
  });
}

function runBatch(tasks: readonly (() => void)[], from: number): void {
  const to = Math.min(tasks.length, from + batchSize);
  for (let i = from; i < to; i++) tasks[i]?.();
  if (to < tasks.length) queueMicrotask(() => process.nextTick(runBatch, tasks, to));
}
