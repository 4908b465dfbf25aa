/** A line of a text. */
export interface Line {
  /** From 1, as an editor shows it. */
  readonly number: number;
  /** Without what ends the line. */
  readonly text: string;
  /** What ends the line: nothing at the end of the text. */
  readonly end: string;
}

/** The longest line that is kept whole, in UTF-16 code units: the service takes no record of more. */
export const maxLineLength = 1024 * 1024;

const lineEnd = /\r\n|\n|\r/g;

/**
 * Splits a text, given in chunks, into lines. Only LF, CR LF and CR end a line: U+2028, U+2029, U+0085, a form feed and
 * the like may be part of a value in JSON and CSV. A line that is too long is cut to one code unit more than is allowed.
 */
export async function* splitLines(chunks: AsyncIterable<string>): AsyncGenerator<Line> {
  let number = 1;
  let rest = "";
  for await (const chunk of chunks) {
    const text = rest + chunk;
    let start = 0;
    for (const { 0: end, index } of text.matchAll(lineEnd)) {
      // The other half of a CR LF may be in the next chunk.
      if (end === "\r" && index === text.length - 1) break;
      yield { number, text: cut(text.slice(start, index)), end };
      number += 1;
      start = index + end.length;
    }
    rest = text.slice(start);
    if (rest.length > maxLineLength) rest = cut(rest) + (rest.endsWith("\r") ? "\r" : "");
  }
  if (rest.endsWith("\r")) yield { number, text: cut(rest.slice(0, -1)), end: "\r" };
  else if (rest !== "") yield { number, text: cut(rest), end: "" };
}

function cut(text: string): string {
  return text.length > maxLineLength ? text.slice(0, maxLineLength + 1) : text;
}
