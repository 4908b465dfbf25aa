import { fork } from "node:child_process";
import { once } from "node:events";

/** A service that runs as a process of its own, so that the load takes no time from it. */
export interface LoadedService extends AsyncDisposable {
  readonly url: string;
  /** Users and a token of each. */
  readonly users: readonly { readonly id: string; readonly token: string }[];
}

/** Starts the script of a service, which says by a message where it is. */
export async function startLoaded(script: URL, parameters: string[]): Promise<LoadedService> {
  const child = fork(script, parameters);
  const exit = once(child, "exit");
  const ended = exit.then(([code]) => {
    throw new Error(`the service ended with ${code}`);
  });
  ended.catch(() => {});
  const [started] = await Promise.race([once(child, "message"), ended]);
  return {
    ...started,
    async [Symbol.asyncDispose]() {
      if (child.connected) child.disconnect();
      await exit;
    },
  };
}
