import { Code, ConnectError } from "@connectrpc/connect";

/**
 * The messages of a call that `start` begins. Throws `DEADLINE_EXCEEDED` when none comes for `silenceMs` milliseconds,
 * and ends the call, also when `signal` aborts.
 */
export async function* untilSilent<Message>(
  start: (signal: AbortSignal) => AsyncIterable<Message>,
  silenceMs: number,
  signal: AbortSignal,
): AsyncGenerator<Message, void> {
  const silence = new AbortController();
  const messages = start(AbortSignal.any([signal, silence.signal]))[Symbol.asyncIterator]();
  try {
    for (;;) {
      const timer = setTimeout(() => silence.abort(), silenceMs);
      const { done, value } = await messages.next().finally(() => clearTimeout(timer));
      if (done === true) return;
      yield value;
    }
  } catch (failure) {
    if (!silence.signal.aborted) throw failure;
    throw new ConnectError(`no answer within ${silenceMs / 1_000} s`, Code.DeadlineExceeded);
  } finally {
    silence.abort();
  }
}
