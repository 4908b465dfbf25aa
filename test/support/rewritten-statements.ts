import type { Backend } from "../../src/store/database.ts";
import type { SqlExecutor } from "../../src/store/executor.ts";
import { compile, type Sendable } from "../../src/store/statement.ts";

/** Lets a backend send other statements than it is given: `rewrite` returns the text that is sent. */
export function rewriteStatements({ executor, checks }: Backend, rewrite: (text: string) => string): void {
  for (const one of new Set([executor, checks])) rewriteOf(one, rewrite);
}

function rewriteOf(executor: SqlExecutor, rewrite: (text: string) => string): void {
  const rewritten = <Row>(statement: Sendable<Row>): Sendable<Row> => {
    const compiled = compile(statement);
    return { ...compiled, sql: rewrite(compiled.sql) };
  };
  const read = executor.read.bind(executor);
  const transaction = executor.transaction.bind(executor);
  executor.read = (statement, signal) => read(rewritten(statement), signal);
  executor.transaction = (work, options) =>
    transaction((run) => work((...statements) => run(...(statements.map(rewritten) as never))), options);
}
