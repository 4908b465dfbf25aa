import { inspect, type ParseArgsConfig, parseArgs } from "node:util";

/** The names of errors whose message alone tells the operator what to do. They are shown without a stack. */
const plainErrors = new Set([
  "ConfigError",
  "CommandError",
  "ConnectError",
  "DataDirectoryError",
  "DirectoryInUseError",
  "InputError",
  "OutputError",
  "StartError",
  "TlsError",
  "UnclearUserError",
  "UnknownValueError",
]);

/** What is wrong with a file, by Node's error code. */
const fileProblems: Readonly<Record<string, string>> = {
  ENOENT: "does not exist",
  EACCES: "cannot be opened: this account has no permission",
  EISDIR: "is a directory, not a file",
  ENOTDIR: "is not below a directory",
};

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
  const { code, path } = failure as NodeJS.ErrnoException;
  const problem = fileProblems[code ?? ""];
  if (path !== undefined && problem !== undefined) return `${path} ${problem}.`;
  const isPlain = plainErrors.has(failure.name) || "syscall" in failure;
  return isPlain ? failure.message : (failure.stack ?? failure.message);
}

/**
 * Reads the command line of this process. Ends the process with the usage on standard output, code 0, when `--help` is
 * among the options; and with what is wrong on standard error, code 1, when an option is unknown or lacks its value.
 */
export function readCommandLine<const Config extends Omit<ParseArgsConfig, "strict">>(
  usage: string,
  config: Config,
) {
  endAfterHelp(usage, config.args);
  try {
    return parseArgs(config);
  } catch (failure) {
    process.stderr.write(`${explainUsage(failure as Error, Object.keys(config.options ?? {}))}\n`);
    process.exit(1);
  }
}

/** Ends the process with the usage on standard output, code 0, when `--help` is among the arguments. */
export function endAfterHelp(usage: string, args: readonly string[] = process.argv.slice(2)): void {
  if (!asksForHelp(args)) return;
  process.stdout.write(usage);
  process.exit(0);
}

function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return (end < 0 ? args : args.slice(0, end)).some((arg) => arg === "--help" || arg === "-h");
}

/** Node's message, without its advice about arguments that begin with a dash. */
function explainUsage({ message }: Error, known: readonly string[]): string {
  const [what = message] = message.split(/\.? To specify |\. This command/);
  const options = [...known, "help"].map((name) => `--${name}`);
  return `${what}. Known options: ${options.join(", ")}.`;
}
