import { Code, ConnectError } from "@connectrpc/connect";

/** Lets other events be handled. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Waits, or until a signal aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}

/** The token that a promise resolves to, unless the signal aborts before, or the time is over. */
export function inTime(token: Promise<string>, ms: number, signal: AbortSignal | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      settle();
    };
    const fail = (reason: unknown) => end(() => reject(reason));
    const onAbort = () => fail(signal?.reason);
    const onTimeout = () => fail(new ConnectError("no token came in time", Code.DeadlineExceeded));
    const timer = setTimeout(onTimeout, ms);
    signal?.addEventListener("abort", onAbort);
    if (signal?.aborted) onAbort();
    token.then((text) => end(() => resolve(text)), fail);
  });
}
