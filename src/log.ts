import { type Logger, pino } from "pino";

/** Makes the log: one JSON object a line on standard output. */
export function createLog(level: string): Logger {
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: describe },
  });
}

/** What the log says of an error. Drivers attach rows, ids and parameters to theirs: those fields stay out. */
function describe(error: unknown): unknown {
  if (!(error instanceof Error)) return { message: "not an Error" };
  const { name, message, stack, cause } = error;
  const code = "code" in error ? error.code : undefined;
  return { name, message, code, stack, cause: cause === undefined ? undefined : describe(cause) };
}
