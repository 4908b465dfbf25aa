import { type Logger, pino } from "pino";

/** The most characters that are kept until the end of a turn. */
const maxBuffered = 64 * 1024;

/** Makes the log: one JSON object a line on standard output. */
export function createLog(level: string): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: serializeError },
    },
    oneWritePerTurn(),
  );
}

/**
 * Standard output with one write for all lines of a turn of the event loop, at the end of the next turn: by then the answers
 * of their calls are sent, gRPC's trailers too, for which clients wait. pino's own destination writes each line, or keeps
 * lines for longer. Nothing is lost when the process ends without a signal to kill it.
 */
function oneWritePerTurn(): { write(line: string): void } {
  const output = pino.destination({ dest: 1, sync: true });
  let lines = "";
  const flush = () => {
    if (lines !== "") output.write(lines);
    lines = "";
  };
  process.on("exit", flush);
  return {
    write(line) {
      if (lines === "") setImmediate(() => setImmediate(flush));
      lines += line;
      if (lines.length > maxBuffered) flush();
    },
  };
}

/** The fields of an error that are logged. Drivers attach rows, ids and parameters to theirs: those stay out. */
function serializeError(error: unknown): unknown {
  if (!(error instanceof Error)) return { message: "not an Error" };
  const { name, message, stack, cause } = error;
  const code = "code" in error ? error.code : undefined;
  return { name, message, code, stack, cause: cause === undefined ? undefined : serializeError(cause) };
}
