/** What a statement does, for traces: none of its values, and nothing that changes from call to call. */
export interface StatementKind {
  /** The first word of it that says what it does: `select`, `insert`, `commit`. */
  readonly operation: string;
  /** The tables that it names, in the order in which it does. */
  readonly tables: readonly string[];
}

/** The tables of the service. */
export const tables = [
  "users",
  "follows",
  "blocks",
  "mutes",
  "privacy_settings",
  "privacy_exceptions",
  "service_imports",
  "imports",
  "rate_debts",
  "signing_keys",
  "migrations",
] as const;

/** There are far fewer texts than this: values are parameters. */
const maxKinds = 1_000;
const names = tables.join("|");
const tableName = new RegExp(`\\b(?:${names})\\b`, "g");
/** Not the lock of a row: `for update`. */
const change = new RegExp(`\\b(insert\\s+into|update\\s+(?:${names})|delete\\s+from)\\b`);
const kinds = new Map<string, StatementKind>();

/** Tells what the statement of a text does. A text with a change in it is that change, whatever stands around it. */
export function statementKind(text: string): StatementKind {
  let kind = kinds.get(text);
  if (kind === undefined) {
    const word = change.exec(text)?.[1] ?? (/^\s*with\b/.test(text) ? "select" : text);
    const operation = /\w+/.exec(word)?.[0] ?? "statement";
    kind = { operation, tables: [...new Set(text.match(tableName))] };
    if (kinds.size < maxKinds) kinds.set(text, kind);
  }
  return kind;
}
