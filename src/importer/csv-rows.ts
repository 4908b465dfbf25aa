import type { Line } from "./source.ts";

/** A row of a CSV text. */
export interface CsvRow {
  /** The number of its first line. */
  readonly line: number;
  /** Undefined when the quotes of the row are wrong. */
  readonly cells: readonly string[] | undefined;
  /** What is wrong; undefined for a row that could be read. */
  readonly problem?: string;
}

type Parsed =
  /** `strict`: every quote is where RFC 4180 allows it. */
  | { readonly state: "complete"; readonly cells: string[]; readonly strict: boolean }
  /** The text ends within quotes. */
  | { readonly state: "open"; readonly column: number }
  /** A closing quote is followed by more of the cell. */
  | { readonly state: "broken"; readonly column: number };

/** The longest row of several lines, in UTF-16 code units: more than any record may hold. */
const maxRowLength = 128 * 1024;

/**
 * Reads the rows of a CSV text (RFC 4180), without blank lines. A quote inside a cell that does not begin with a quote is
 * an ordinary character, as in `Ann "Annie"`. A row continues in the next line only when all of its quotes follow RFC
 * 4180. When they do not, the row is its first line alone and has a `problem`, and the next line begins a new row: a
 * stray quote costs only its own line.
 */
export async function* readRows(
  lines: AsyncIterator<Line, unknown>,
  separator: string,
): AsyncGenerator<CsvRow> {
  const ahead: Line[] = [];
  const next = async () => {
    const buffered = ahead.shift();
    if (buffered !== undefined) return buffered;
    const result = await lines.next();
    return result.done === true ? undefined : result.value;
  };
  for (let first = await next(); first !== undefined; first = await next()) {
    if (first.text.trim() === "") continue;
    const parsed = parseCells(first.text, separator);
    if (parsed.state === "complete") {
      yield { line: first.number, cells: parsed.cells };
      continue;
    }
    const taken: Line[] = [];
    const cells = parsed.state === "open" ? await readContinuation(first, separator, next, taken) : undefined;
    if (cells === undefined) ahead.unshift(...taken);
    const problem = `column ${parsed.column + 1} ${
      parsed.state === "open" ? "has a quote that is never closed" : "goes on after its closing quote"
    }`;
    yield cells === undefined ? { line: first.number, cells, problem } : { line: first.number, cells };
  }
}

/** Reads the next lines into `taken` until the row is complete. Undefined when it is never complete. */
async function readContinuation(
  first: Line,
  separator: string,
  next: () => Promise<Line | undefined>,
  taken: Line[],
): Promise<readonly string[] | undefined> {
  let text = first.text;
  let { end } = first;
  while (text.length <= maxRowLength) {
    const line = await next();
    if (line === undefined) return undefined;
    taken.push(line);
    text += end + line.text;
    ({ end } = line);
    if (!line.text.includes('"')) continue;
    const parsed = parseCells(text, separator);
    if (parsed.state === "open") continue;
    return parsed.state === "complete" && parsed.strict ? parsed.cells : undefined;
  }
  return undefined;
}

/** Splits a row into its cells. Blanks around a cell are removed, unless they are quoted. */
export function parseCells(text: string, separator: string): Parsed {
  const cells: string[] = [];
  let strict = true;
  let at = 0;
  for (;;) {
    const start = skipBlanks(text, at, separator);
    if (text[start] === '"') {
      const quoted = readQuoted(text, start);
      if (quoted === undefined) return { state: "open", column: cells.length };
      cells.push(quoted.value);
      at = skipBlanks(text, quoted.end, separator);
      if (at < text.length && text[at] !== separator) return { state: "broken", column: cells.length - 1 };
    } else {
      const end = text.indexOf(separator, at);
      at = end < 0 ? text.length : end;
      const cell = text.slice(Math.min(start, at), at).trimEnd();
      if (cell.includes('"')) strict = false;
      cells.push(cell);
    }
    if (at >= text.length) return { state: "complete", cells, strict };
    at += 1;
  }
}

function readQuoted(text: string, start: number): { value: string; end: number } | undefined {
  let value = "";
  for (let from = start + 1; ; ) {
    const quote = text.indexOf('"', from);
    if (quote < 0) return undefined;
    value += text.slice(from, quote);
    if (text[quote + 1] !== '"') return { value, end: quote + 1 };
    value += '"';
    from = quote + 2;
  }
}

function skipBlanks(text: string, from: number, separator: string): number {
  let at = from;
  while (text[at] === " " || (text[at] === "\t" && separator !== "\t")) at += 1;
  return at;
}
