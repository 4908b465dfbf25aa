import { expect } from "chai";
import { sql } from "kysely";
import { queryTemplate } from "../../../src/store/statement.ts";

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
