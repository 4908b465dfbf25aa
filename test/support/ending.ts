import { ChildProcess } from "node:child_process";
import { Server, Socket } from "node:net";

const graceMs = 10_000;

function name(handle: object): string {
  if (handle instanceof ChildProcess) return `process ${handle.pid}: ${handle.spawnargs.join(" ")}`;
  if (handle instanceof Server) return `server at ${JSON.stringify(handle.address())}`;
  if (handle instanceof Socket) {
    return `socket ${handle.localAddress}:${handle.localPort} to ${handle.remoteAddress}:${handle.remotePort}`;
  }
  return handle.constructor.name;
}

/** A run that something keeps from its end ends red, and says what that was. */
export const mochaHooks = {
  afterAll() {
    setTimeout(() => {
      // Node has no documented way to find out which.
      const { _getActiveHandles: handles } = process as unknown as { _getActiveHandles(): object[] };
      console.error(
        "The run does not end:",
        process.getActiveResourcesInfo(),
        handles.call(process).map(name),
      );
      // Mocha sets the code as the process ends; this comes after it.
      process.once("exit", () => (process.exitCode = 1)).exit();
    }, graceMs).unref();
  },
};
