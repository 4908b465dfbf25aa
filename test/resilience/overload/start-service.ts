import { fork } from "node:child_process";
import { once } from "node:events";
import { startFlags } from "../../bench/harness/start-flags.ts";

/** Starts the script of a service as a process of its own, with the flags of `npm start`; it says where it is. */
export async function startLoaded<Started>(
  script: URL,
  parameters: string[],
): Promise<Started & AsyncDisposable> {
  const child = fork(script, parameters, { detached: true, execArgv: [...startFlags] });
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
