import { expect } from "chai";
import { sql } from "kysely";
import type { Connection, ConnectionPool } from "../../../src/store/connection.ts";
import { SqlExecutor } from "../../../src/store/executor.ts";
import { ormOptions } from "../../../src/store/migrations/migrate.ts";
import { queryTemplate, statementKind, tables } from "../../../src/store/statement.ts";

describe("a statement of which only the values change", () => {
  it("has the text of its template, and the values of each call", () => {
    const named = queryTemplate((name: string, age: number) => sql`select ${name}, ${sql.lit(7)}, ${age}`);
    const [first, second] = [named("a", 1), named("b", 2)];
    expect(first.sql).to.equal("select $1, 7, $2");
    expect(second.sql).to.equal(first.sql);
    expect([first.parameters, second.parameters]).to.eql([
      ["a", 1],
      ["b", 2],
    ]);
  });

  it("may have a value in any place, and more than once", () => {
    const swapped = queryTemplate((a: string, b: string) => sql`select ${b}, ${a}, ${b}`);
    expect(swapped("a", "b").parameters).to.eql(["b", "a", "b"]);
    expect(swapped("c", "c").parameters).to.eql(["c", "c", "c"]);
  });

  it("rejects a template that omits an argument, or has a value that is none", () => {
    const without = queryTemplate((_: string) => sql`select 1`);
    const constant = queryTemplate((a: string) => sql`select ${"always"}, ${a}`);
    const changed = queryTemplate((a: string) => sql`select ${`${a}!`}`);
    for (const refused of [without, constant, changed]) expect(() => refused("a")).to.throw("arguments");
  });
});

describe("the kind of a statement", () => {
  it("knows every table", () => {
    const described = ormOptions(() => {}).entities.map(({ meta }) => meta.tableName);
    expect(tables).to.have.members([...described, "migrations"]);
  });

  const cases: [text: string, operation: string, tables: string[]][] = [
    ["begin isolation level read committed", "begin", []],
    ["select 1", "select", []],
    ["\n  select u.id from users u where u.id = $1", "select", ["users"]],
    ["select from users where id = $1 for update", "select", ["users"]],
    ["select from users where id = $1 for update skip locked", "select", ["users"]],
    ["select from users u for no key update of u", "select", ["users"]],
    ["with q as (select $1) select from blocks b, users u, blocks c", "select", ["blocks", "users"]],
    ["with gone as (delete from follows returning 1) select from gone", "delete", ["follows"]],
    ["with a as (select) insert into\n blocks select from users", "insert", ["blocks", "users"]],
    ["update users set user_name = $1", "update", ["users"]],
    ['update "users" set "user_name" = $1', "update", ["users"]],
    ['select "id" from "users" where "id" = $1 for update', "select", ["users"]],
    ["insert into mutes values ($1) on conflict do update set id = $2", "insert", ["mutes"]],
    ["select pg_advisory_xact_lock($1)", "select", []],
    ["", "statement", []],
  ];
  for (const [text, operation, names] of cases)
    it(`${JSON.stringify(text)} is ${operation} ${names}`, () => {
      expect(statementKind(text)).to.eql({ operation, tables: names });
      expect(statementKind(text)).to.equal(statementKind(text));
    });

  it("stays cached, however many locks a traced executor takes", async () => {
    const connection: Connection = {
      query: async () => [],
      execute: async () => {},
      cancel: async () => {},
    };
    const pool: ConnectionPool = {
      acquire: async () => connection,
      release: () => {},
      isSaturated: false,
      close: async () => {},
    };
    const executor = new SqlExecutor(pool, { tracer: { statement: (_, send) => send() } });
    for (let i = 0; i < 1_100; i++) {
      const name = `lock:${i}`;
      await executor.transaction(async () => {}, { locks: { names: [name], advisory: name } });
    }
    const text = "select 'a statement that comes after many locks'";
    expect(statementKind(text)).to.equal(statementKind(text));
  });
});
