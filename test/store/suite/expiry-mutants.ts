/** A condition of a statement that a block or mute holds, or that it has ended. */
const condition = /(\w+\.)?expires_at (>|<=) statement_timestamp\(\)/g;

/** Other operators of the same direction: they differ at the end itself. */
const operators: Readonly<Record<string, string>> = { ">": ">=", "<=": "<" };

/** A statement of which one condition was changed. */
export interface StatementMutant {
  readonly name: string;
  readonly text: string;
  /** Whether it answers as the original does, as far as one call at a time can tell. */
  readonly isEquivalent: boolean;
}

/** Every statement that differs in one condition: it is left out, wrong at the end itself, or of the process's clock. */
export function mutantsOf(text: string): StatementMutant[] {
  return [...text.matchAll(condition)].flatMap(({ 0: found, 1: row = "", 2: operator = "", index }) => {
    const place = text.slice(Math.max(0, index - 60), index + found.length).replace(/\s+/g, " ");
    const mutant = (change: string, replacement: string) => ({
      name: `${change}: ...${place}`,
      text: text.slice(0, index) + replacement + text.slice(index + found.length),
      isEquivalent: isEquivalent(text, row, change),
    });
    return [
      mutant("left out", "true"),
      mutant("at the end", `${row}expires_at ${operators[operator]} statement_timestamp()`),
      mutant("of the process", `${row}expires_at ${operator} to_timestamp(${Date.now() / 1_000})`),
    ];
  });
}

function isEquivalent(text: string, row: string, change: string): boolean {
  // A sweep looks first whether anything has ended, and asks once more when it has locked the rows that it found: the look
  // alone saves a transaction, and two of the three conditions do for a sweep without other calls beside it.
  if (/\bas due\b|\bwith due as\b/.test(text)) return change === "left out";
  // An imported follow never ends.
  return row === "g." && /\binsert into follows\b/.test(text) && change !== "left out";
}
