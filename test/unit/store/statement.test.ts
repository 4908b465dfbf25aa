import { expect } from "chai";
import { sql } from "kysely";
import { statement } from "../../../src/store/statement.ts";

describe("a statement of which only the values change", () => {
  it("has the text of its template, and the values of each call", () => {
    const named = statement((name: string, age: number) => sql`select ${name}, ${sql.lit(7)}, ${age}`);
    const [first, second] = [named("a", 1), named("b", 2)];
    expect(first.sql).to.equal("select $1, 7, $2");
    expect(second.sql).to.equal(first.sql);
    expect([first.parameters, second.parameters]).to.eql([
      ["a", 1],
      ["b", 2],
    ]);
  });

  it("refuses a template that uses its arguments in another order, or other than once", () => {
    const swapped = statement((a: string, b: string) => sql`select ${b}, ${a}`);
    const twice = statement((a: string) => sql`select ${a}, ${a}`);
    const constant = statement((_: string) => sql`select ${"always"}`);
    expect(() => swapped("a", "b")).to.throw("arguments");
    expect(() => twice("a")).to.throw("arguments");
    expect(() => constant("a")).to.throw("arguments");
  });
});
