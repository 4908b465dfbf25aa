import { type RawBuilder, sql } from "kysely";
import { timestampFromMicros } from "../../src/store/edges.ts";
import type { SqlExecutor } from "../../src/store/executor.ts";

/** Functions of these names in a schema that comes before PostgreSQL's own: statements find them first. */
const functions = { statement_timestamp: "stable", clock_timestamp: "volatile", now: "stable" } as const;

/** The schema of the tables stays the first one: migrations create tables in it. */
const searchPath = "public, test_clock, pg_catalog";

const timeOf = (micros: bigint) => timestampFromMicros(sql`${micros.toString()}::bigint`);

/**
 * The clock of a database, which a test stops and moves. The service's own statements, triggers, defaults of columns and
 * prepared statements follow it: they name PostgreSQL's functions without a schema. While it is stopped, ticks are not due,
 * so that watchers are told of no change.
 */
export class TestClock {
  readonly #executor: SqlExecutor;

  private constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /**
   * Gives a database a clock that can be moved, for connections that are opened later and the one that this uses. To be
   * called before anything else uses the executor, before the migrations too: a default of a column has the functions that
   * were found when the column was created.
   */
  static async install(executor: SqlExecutor): Promise<TestClock> {
    await executor.transaction(async (run) => {
      await run(
        sql`create schema test_clock`,
        sql`create table test_clock.state (stopped_at timestamptz, moved_by interval not null default '0')`,
        sql`insert into test_clock.state default values`,
        sql`create function test_clock.shown(measured timestamptz) returns timestamptz stable language sql
          as 'select coalesce(stopped_at, $1) + moved_by from test_clock.state'`,
        ...Object.entries(functions).map(
          ([name, volatility]) => sql`
            create function test_clock.${sql.ref(name)}() returns timestamptz ${sql.raw(volatility)} language sql
            as ${sql.lit(`select test_clock.shown(pg_catalog.${name}())`)}`,
        ),
        sql`do $$ begin
          execute format('alter database %I set search_path = ${sql.raw(searchPath)}', current_database());
        end $$`,
        sql`select set_config('search_path', ${searchPath}, false)`,
      );
    });
    return new TestClock(executor);
  }

  /** What the clock shows, in microseconds since 1970. */
  async now(): Promise<bigint> {
    const [row] = await this.#run(
      sql<{ now: string }>`select (extract(epoch from clock_timestamp()) * 1000000)::bigint::text as now`,
    );
    return BigInt(row?.now ?? "");
  }

  /** Stops the clock at a time, in microseconds since 1970; earlier than what it showed, too. */
  async stopAt(micros: bigint): Promise<void> {
    await this.#run(sql`update test_clock.state set stopped_at = ${timeOf(micros)}, moved_by = '0'`);
  }

  /** Moves the clock, stopped or not, by a number of microseconds. */
  async move(micros: bigint): Promise<void> {
    await this.#run(
      sql`update test_clock.state set moved_by = moved_by + (${timeOf(micros)} - timestamptz 'epoch')`,
    );
  }

  #run<Row>(statement: RawBuilder<Row>): Promise<Row[]> {
    return this.#executor.transaction((run) => run(statement));
  }
}
