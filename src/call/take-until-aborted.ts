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
