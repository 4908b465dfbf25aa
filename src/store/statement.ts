import {
  type Compilable,
  type CompiledQuery,
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type RawBuilder,
} from "kysely";
import type { Tables } from "./entities.ts";

/** Builds statements whose tables and columns the compiler checks against the entities. It has no connection. */
export const query = new Kysely<Tables>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
});

/** A statement that can be sent: one to be compiled, or one that is. */
export type Sendable<Row> = RawBuilder<Row> | Compilable<Row> | CompiledQuery<Row>;

/** The text of a statement and its values. */
export function compile<Row>(statement: Sendable<Row>): CompiledQuery<Row> {
  return "sql" in statement ? statement : statement.compile(query);
}

/**
 * Makes statements of which only the values change, and compiles their text once. `template` gets each of its arguments
 * as a value, which it may use more than once, and has no other values.
 */
export function queryTemplate<Row, Values extends readonly unknown[]>(
  template: (...values: Values) => RawBuilder<Row> | Compilable<Row>,
): (...values: Values) => CompiledQuery<Row> {
  let compiled: CompiledTemplate<Row> | undefined;
  return (...values) => {
    compiled ??= compileTemplate(template, values.length);
    return { ...compiled.query, parameters: compiled.arguments.map((index) => values[index]) };
  };
}

interface CompiledTemplate<Row> {
  readonly query: CompiledQuery<Row>;
  /** The index of the argument that is each value of the statement. */
  readonly arguments: readonly number[];
}

function compileTemplate<Row, Values extends readonly unknown[]>(
  template: (...values: Values) => RawBuilder<Row> | Compilable<Row>,
  count: number,
): CompiledTemplate<Row> {
  // Objects, so that none equals another one or a value of the template's own.
  const placeholders: unknown[] = Array.from({ length: count }, () => ({}));
  const compiled = compile(template(...(placeholders as unknown as Values)));
  const indexes = compiled.parameters.map((value) => placeholders.indexOf(value));
  if (indexes.includes(-1) || new Set(indexes).size !== count)
    throw new Error("a statement must have its arguments as its values");
  return { query: compiled, arguments: indexes };
}

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
  "changes",
  "ticks",
  "erasures",
  "idempotency_keys",
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
