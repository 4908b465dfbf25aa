import { inspect } from "node:util";

/** A failure whose message alone tells the operator what to do: it is shown without a stack. */
const plainErrors = new Set([
  "ConfigError",
  "CommandError",
  "ConnectError",
  "DataDirectoryError",
  "DirectoryInUseError",
  "InputError",
  "StartError",
  "TlsError",
]);

/** A command line that cannot be carried out. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** Runs a command of this package; a failure is written to standard error and ends the process with code 1. */
export async function runCommand(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (failure) {
    process.stderr.write(`${explain(failure)}\n`);
    process.exitCode = 1;
  }
}

function explain(failure: unknown): string {
  if (!(failure instanceof Error)) return inspect(failure);
  if ("code" in failure && failure.code === "EADDRINUSE" && "port" in failure) {
    return `Port ${failure.port} is in use; choose others with HTTP_PORT, GRPC_PORT and ADMIN_PORT.`;
  }
  const isPlain = plainErrors.has(failure.name) || "syscall" in failure;
  return isPlain ? failure.message : (failure.stack ?? failure.message);
}
