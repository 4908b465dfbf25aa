import {
  type Compilable,
  type CompiledQuery,
  createQueryId,
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type RawBuilder,
  type RootOperationNode,
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

/**
 * Makes statements of which only the values change. Their text is put together once: that of the decisions took 18
 * microseconds each time.
 *
 * `template` has each of its arguments as a value, as often as it likes, and no other values.
 */
export function queryTemplate<Row, Values extends readonly unknown[]>(
  template: (...values: Values) => Template<Row>,
): (...values: Values) => CompiledQuery<Row> {
  let compiled: Compiled<Row> | undefined;
  return (...values) => {
    compiled ??= compile(template, values.length);
    return { ...compiled.query, parameters: compiled.places.map((place) => values[place]) };
  };
}

type Template<Row> = RawBuilder<Row> | (Compilable<Row> & { toOperationNode(): RootOperationNode });

interface Compiled<Row> {
  readonly query: CompiledQuery<Row>;
  /** Which of the arguments each value of the statement is. */
  readonly places: readonly number[];
}

function compile<Row, Values extends readonly unknown[]>(
  template: (...values: Values) => Template<Row>,
  count: number,
): Compiled<Row> {
  // What stands in for an argument cannot be taken for another's.
  const standIns: unknown[] = Array.from({ length: count }, (_, place) => ({ place }));
  const query = new PostgresQueryCompiler().compileQuery(
    template(...(standIns as unknown as Values)).toOperationNode(),
    createQueryId(),
  );
  const places = query.parameters.map((value) => standIns.indexOf(value));
  if (places.includes(-1) || new Set(places).size !== count)
    throw new Error("a statement must have its arguments as its values");
  return { query: query as CompiledQuery<Row>, places };
}
