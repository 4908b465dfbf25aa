import { expect } from "chai";
import { ormOptions } from "../../../src/store/migrations/migrate.ts";
import { statementKind, tables } from "../../../src/store/statement.ts";

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
});
