import { type Logger, pino } from "pino";

/** More than this is written before the turn ends, in characters. */
const maxHeld = 64 * 1024;

/** Makes the log: one JSON object a line on standard output. */
export function createLog(level: string): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: isoTime(),
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describe },
    },
    sharedWrites(),
  );
}

/** The time as pino's `isoTime` spells it. It is put together once a millisecond: it was a third of a line. */
function isoTime(): () => string {
  let last = Number.NaN;
  let text = "";
  return () => {
    const now = Date.now();
    if (now !== last) text = `,"time":"${new Date(now).toISOString()}"`;
    last = now;
    return text;
  };
}

/**
 * Standard output with one write for all lines of a turn of the event loop: with a write for each of them, writing
 * takes longer than all else that a line costs. Nothing stays behind when the process ends by itself.
 */
function sharedWrites(): { write(line: string): void } {
  const output = pino.destination({ dest: 1, sync: true });
  let lines = "";
  const flush = () => {
    if (lines !== "") output.write(lines);
    lines = "";
  };
  process.on("exit", flush);
  return {
    write(line) {
      if (lines === "") setImmediate(flush);
      lines += line;
      if (lines.length > maxHeld) flush();
    },
  };
}

/** What the log says of an error. Drivers attach rows, ids and parameters to theirs: those fields stay out. */
function describe(error: unknown): unknown {
  if (!(error instanceof Error)) return { message: "not an Error" };
  const { name, message, stack, cause } = error;
  const code = "code" in error ? error.code : undefined;
  return { name, message, code, stack, cause: cause === undefined ? undefined : describe(cause) };
}
