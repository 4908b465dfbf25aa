import { type ParseArgsConfig, parseArgs } from "node:util";

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
    process.stderr.write(`${explain(failure as Error, Object.keys(config.options ?? {}))}\n`);
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
function explain({ message }: Error, known: readonly string[]): string {
  const [what = message] = message.split(/\.? To specify |\. This command/);
  const options = [...known, "help"].map((name) => `--${name}`);
  return `${what}. Known options: ${options.join(", ")}.`;
}
