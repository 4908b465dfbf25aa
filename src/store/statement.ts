import { type CompiledQuery, createQueryId, PostgresQueryCompiler, type RawBuilder } from "kysely";

/**
 * Makes statements of which only the values change. Their text is put together once: for a lone check, doing so each
 * time took longer than all else that becomes of it in this process.
 *
 * `template` has each of its arguments as a value once, in their order, and no other values.
 */
export function statement<Row, Values extends readonly unknown[]>(
  template: (...values: Values) => RawBuilder<Row>,
): (...values: Values) => CompiledQuery<Row> {
  let compiled: CompiledQuery<Row> | undefined;
  return (...values) => {
    compiled ??= compile(template, values);
    return { ...compiled, parameters: values };
  };
}

function compile<Row, Values extends readonly unknown[]>(
  template: (...values: Values) => RawBuilder<Row>,
  values: Values,
): CompiledQuery<Row> {
  const compiled = new PostgresQueryCompiler().compileQuery(
    template(...values).toOperationNode(),
    createQueryId(),
  );
  const { parameters } = compiled;
  if (parameters.length !== values.length || parameters.some((value, i) => value !== values[i]))
    throw new Error("a statement must have its arguments as its values");
  return compiled as CompiledQuery<Row>;
}
