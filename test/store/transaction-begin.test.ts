import { expect } from "chai";
import { sql } from "kysely";
import type { Connection, ConnectionPool } from "../../src/store/connection.ts";
import { ConnectionTarget, parseDatabaseUrl } from "../../src/store/connection-target.ts";
import { SqlExecutor } from "../../src/store/executor.ts";
import { type PgConnection, PgPool } from "../../src/store/pg-pool.ts";
import { type FreezingProxy, startFreezingProxy } from "../support/freezing-proxy.ts";
import { onPostgresql } from "./suite/postgresql.ts";

const applicationName = "begin test";
/** The server takes tens of milliseconds to parse so many blanks. */
const blanks = " ".repeat(16_000_000);

/** Changes the text of the message that begins a transaction, and passes on what follows it. */
function rewriteBegin(bytes: Buffer, change: (text: string) => string): Buffer {
  const header = 5;
  if (bytes.toString("latin1", 0, 1) !== "Q" || bytes.toString("latin1", header, header + 5) !== "begin")
    return bytes;
  const end = 1 + bytes.readInt32BE(1);
  const text = Buffer.from(change(bytes.toString("utf8", header, end)));
  const changed = Buffer.alloc(header);
  changed.write("Q");
  changed.writeInt32BE(4 + text.length, 1);
  return Buffer.concat([changed, text, bytes.subarray(end)]);
}

/** Sends the work right behind `begin`, by the pipelining of the driver, and asks for the answer before the commit. */
function pipelined(pool: PgPool): ConnectionPool {
  const inner = new WeakMap<Connection, PgConnection>();
  return {
    isSaturated: false,
    async acquire(signal) {
      const connection = await pool.acquire(signal);
      let begun: Promise<void> = Promise.resolve();
      const mutant: Connection = {
        query: (statement) => connection.query(statement),
        async execute(statements) {
          if (!statements.startsWith("begin")) {
            await begun;
            return connection.execute(statements);
          }
          begun = connection.execute(statements);
          begun.catch(() => {});
        },
        cancel: () => connection.cancel(),
      };
      inner.set(mutant, connection);
      return mutant;
    },
    release: (mutant) => pool.release(inner.get(mutant) as PgConnection),
    close: () => pool.close(),
  };
}

describe("a begin that fails", () => {
  const store = onPostgresql();
  let proxy: FreezingProxy;
  let pool: PgPool;

  beforeEach(async () => {
    proxy = await startFreezingProxy(store().url);
    await store().admin.query("create table marks (n int)");
  });
  afterEach(async () => {
    await store().admin.query("drop table marks");
    await pool?.close();
    await proxy.close();
  });

  function open(client: { pipeline?: boolean } = {}): PgPool {
    pool = new PgPool({
      ...{ name: "begin", maxConnections: 1, acquireTimeoutMs: 60_000, maxWaiting: 1 },
      target: new ConnectionTarget(parseDatabaseUrl(proxy.url), () => {}),
      client: { ...client, application_name: applicationName },
      ...{ statementNames: undefined, log: () => {} },
    });
    return pool;
  }

  interface Outcome {
    /** How often the work was run. */
    readonly runs: number;
    readonly failure: unknown;
  }

  /** Cancels the begin that the server parses. Returns whether it was in time: not when `isOver` returns true before. */
  async function cancelBegin(isOver: () => boolean): Promise<boolean> {
    while (!isOver()) {
      // Of a long statement the server shows the beginning: of this one, blanks.
      const { rows } = await store().admin.query(
        `select pg_cancel_backend(pid) from pg_stat_activity
        where application_name = $1 and datname = current_database() and state = 'active' and query ~ '^ +$'`,
        [applicationName],
      );
      if (rows.length > 0) return true;
    }
    return false;
  }

  /** What makes it fail. */
  const causes: Record<string, (change: () => Promise<Outcome>) => Promise<Outcome>> = {
    "because it was cancelled": async (change) => {
      // Connects first: what is cancelled must be the begin.
      pool.release(await pool.acquire());
      proxy.rewrite((bytes) => rewriteBegin(bytes, (text) => blanks + text));
      for (;;) {
        let isOver = false;
        const changing = change().finally(() => {
          isOver = true;
        });
        const isHit = await cancelBegin(() => isOver);
        const outcome = await changing;
        if (isHit) return outcome;
        await store().admin.query("truncate marks");
      }
    },
    "because the server refuses it": (change) => {
      proxy.rewrite((bytes) => rewriteBegin(bytes, (text) => text.replace("read committed", "of no kind")));
      return change();
    },
  };

  async function changeOn(executor: SqlExecutor): Promise<Outcome> {
    let runs = 0;
    const failure = await executor
      .transaction(async (run) => {
        runs++;
        await run(sql`insert into marks values (1)`);
      })
      .then(
        () => undefined,
        (failure: unknown) => failure,
      );
    return { failure, runs };
  }

  async function stored(): Promise<number> {
    const { rows } = await store().admin.query("select from marks");
    return rows.length;
  }

  for (const [why, provoke] of Object.entries(causes)) {
    it(`lets no statement of its transaction be sent, ${why}`, async () => {
      const executor = new SqlExecutor(open());
      const outcome = await provoke(() => changeOn(executor));
      expect(outcome.failure).to.be.instanceOf(Error);
      expect(outcome.runs).to.equal(0);
      expect(await stored()).to.equal(0);
      proxy.rewrite((bytes) => bytes);
      await executor.transaction((run) => run(sql`insert into marks values (2)`));
      expect(await stored()).to.equal(1);
    });

    it(`would let one be committed alone, ${why}, if it were pipelined`, async () => {
      const executor = new SqlExecutor(pipelined(open({ pipeline: true })));
      const outcome = await provoke(() => changeOn(executor));
      expect(outcome.failure).to.be.instanceOf(Error);
      expect(await stored()).to.equal(1);
    });
  }
});
