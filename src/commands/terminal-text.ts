/** Characters that are not seen, or change the direction of what follows; not those that join others. */
const format = /(?![\u200c\u200d])\p{Cf}/gu;
/** Characters that move the cursor or begin an escape sequence, and halves of characters. */
const control = /[\p{Cc}\p{Cs}]/gu;

/** First characters of what takes two columns: East Asian wide and full-width ones, and pictures. */
const wide = new RegExp(
  [
    "[\\u1100-\\u115f\\u2e80-\\u303e\\u3041-\\u33ff\\u3400-\\u4dbf\\u4e00-\\ua4cf\\ua960-\\ua97f\\uac00-\\ud7a3]",
    "[\\uf900-\\ufaff\\ufe30-\\ufe6f\\uff00-\\uff60\\uffe0-\\uffe6\\u{17000}-\\u{18cff}\\u{1b000}-\\u{1b2ff}]",
    "[\\u{20000}-\\u{3fffd}]",
    "\\p{Emoji_Presentation}",
    // Made a picture by what follows it.
    ".\\ufe0f",
  ]
    .map((part) => `^${part}`)
    .join("|"),
  "u",
);
/** Takes no column of its own. */
const empty = /^[\p{M}\u200c\u200d]/u;
const characters = new Intl.Segmenter();

/** A text of others as a terminal can show it on one line: without control characters. */
export function printable(text: string): string {
  return text.replace(format, "").replace(/\s/gu, " ").replace(control, "");
}

/** How many columns of a terminal a printable text takes. */
export function columnsOf(text: string): number {
  return Array.from(characters.segment(text), ({ segment }) => columnsOfOne(segment)).reduce(
    (a, b) => a + b,
    0,
  );
}

function columnsOfOne(character: string): number {
  if (wide.test(character)) return 2;
  return empty.test(character) ? 0 : 1;
}

/** The beginning of a printable text that fits some columns, with a sign when the rest is left out. */
export function shortened(text: string, columns: number): string {
  if (columnsOf(text) <= columns) return text;
  let taken = 1;
  let beginning = "";
  for (const { segment } of characters.segment(text)) {
    taken += columnsOfOne(segment);
    if (taken > columns) break;
    beginning += segment;
  }
  return `${beginning}…`;
}

/** Changes how a text looks, not what it says. */
export type Paint = (text: string) => string;

/** A cell of a table: its text, and how that looks. */
export interface Cell {
  readonly text: string;
  readonly paint?: Paint;
}

/** The lines of a table, indented; each column is as wide as its widest cell. */
export function tableLines(rows: readonly (readonly (Cell | string)[])[]): string[] {
  const cells = rows.map((row) => row.map((cell) => (typeof cell === "string" ? { text: cell } : cell)));
  const columns = Math.max(0, ...cells.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, n) =>
    Math.max(...cells.map((row) => columnsOf(row[n]?.text ?? ""))),
  );
  return cells.map((row) => {
    const padded = row.map(({ text, paint = (same) => same }: Cell, n) => {
      const room = n === row.length - 1 ? 0 : (widths[n] ?? 0) - columnsOf(text);
      return paint(text) + " ".repeat(room);
    });
    return `  ${padded.join("  ")}`.trimEnd();
  });
}
