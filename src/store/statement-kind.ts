/** What a statement does, for traces: none of its values, and nothing that changes from call to call. */
export interface StatementKind {
  /** Its keyword: `select`, `insert`, `commit`. */
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
  "signing_keys",
  "migrations",
] as const;

/** The most kinds that are cached. There are far fewer texts: values are parameters. */
const maxKinds = 1_000;
const names = tables.join("|");
const tableName = new RegExp(`\\b(?:${names})\\b`, "g");
/** Not the lock of a row: `for update`. */
const change = new RegExp(`\\b(insert\\s+into|update\\s+"?(?:${names})|delete\\s+from)\\b`);
const kinds = new Map<string, StatementKind>();

/** The kind of a statement, by its text. A `with` that contains a change is of the kind of that change. */
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
