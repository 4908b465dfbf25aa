import { expect } from "chai";
import { sql } from "kysely";
import type { UserId } from "../../src/domain/users.ts";
import { loadData } from "../bench/data/load.ts";
import type { Size } from "../bench/data/sizes.ts";
import { specialUsers, userId } from "../bench/data/users.ts";
import { type Statement, statementsOf } from "../support/statements.ts";
import { storeOperations } from "./suite/operations.ts";
import { onPostgresql } from "./suite/postgresql.ts";

interface PlanNode {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Index Name"?: string;
  readonly "Index Cond"?: string;
  readonly Filter?: string;
  readonly "Actual Rows"?: number;
  readonly Plans?: PlanNode[];
}

// A hundred thousand rows make a scan of a table dearer than any few probes of an index.
const size: Size = {
  users: 100_000,
  blocks: 100_000,
  mutes: 100_000,
  follows: 100_000,
  viewers: [10, 1_000, 20_000],
  longest: 50_000,
};
/** In these a user may have a million rows: none is to be read only to be dropped, but for those that have ended. */
const edgeTables = ["blocks", "mutes", "follows"];
const permittedConditions = [
  /\bexpires_at (?:>|<=) statement_timestamp\(\)/g,
  // Of a row that is found by its whole key.
  /\(\(?scopes(?:\)::\w+)? & [^)]*\)+ <> 0/g,
  /\be\.|\bAND\b|[()\s]/g,
];
const bigTables = ["users", "privacy_settings", "privacy_exceptions", "idempotency_keys", ...edgeTables];

const user = (number: number) => userId(number) as UserId;
const [actor, target] = [user(1), user(2)];
const owner = user(specialUsers(size).longest);
const many = Array.from({ length: 1_000 }, (_, n) => user(n * 50));
const operations = storeOperations({ actor, target, owner, others: many });

describe("the plans of statements on PostgreSQL", () => {
  const store = onPostgresql();
  /** The columns of each index of all rows. Without a condition on the first one the server reads the whole index. */
  const indexColumns = new Map<string, string[]>();

  before(async function () {
    this.timeout(120_000);
    const { rows } = await store().admin.query("select usesuper from pg_user where usename = current_user");
    // The tables are filled with foreign keys unchecked, which takes a superuser.
    if (!rows[0].usesuper) return this.skip();
    await loadData(store().admin, size, () => {});
    // What the upkeep looks for: rows that have ended, and an erasure that was begun.
    for (const table of ["blocks", "mutes"])
      await store().admin.query(
        `update ${table} set expires_at = now() where ctid in (select ctid from ${table} limit 1)`,
      );
    await store().admin.query("update users set erased_at = now() where id = $1", [user(3)]);
    await store().admin.query(`
      insert into idempotency_keys (actor_id, key, request, target_id, created_at)
      select id, 'some key', sha256(uuid_send(id)), lead(id) over (order by id), now() - random() * interval '24 hours 1 minute'
      from users`);
    await store().admin.query("analyze idempotency_keys");
    await store().admin.query("reset all");
    const [cost] = await store().query(sql<{ random_page_cost: string }>`show random_page_cost`);
    await store().admin.query(`set random_page_cost = ${cost?.random_page_cost}`);
    const indexes = await store().admin.query(
      `
      select i.indexrelid::regclass::text as index, array_agg(a.attname::text order by a.attnum) as columns
      from pg_index i join pg_attribute a on a.attrelid = i.indexrelid
      where i.indrelid::regclass::text = any ($1) and i.indpred is null
      group by i.indexrelid`,
      [bigTables],
    );
    for (const { index, columns } of indexes.rows) indexColumns.set(index, columns);
  });

  it("read no more of a long list for a page of hidden users than the page has", async () => {
    const limit = 100;
    const ask = { viewer: owner, scope: 1, limit, from: user(7) };
    const [statement] = await statementsOf(store().url, (database) => database.hiddenUsers.read(ask));
    const { sql: text, parameters } = statement as Statement;
    const unlimited = text.replaceAll(/order by "\w+" limit (\$\d+)::int \+ 1\)/g, "and $1::int > 0)");
    expect(unlimited).to.not.equal(text);
    for (const mode of ["force_custom_plan", "force_generic_plan"]) {
      expect(await edgesRead({ sql: text, parameters }, mode), mode).to.be.within(limit, 3 * (limit + 1));
      // Without the limit in the branches the whole list would be read.
      expect(await edgesRead({ sql: unlimited, parameters }, mode), mode).to.be.above(size.longest / 2);
    }
  });

  // The last of them erases the owner.
  for (const [name, run] of Object.entries(operations)) {
    it(`read by indexes alone: ${name}`, async () => {
      const sent = (await statementsOf(store().url, run)).filter(({ sql }) => /\b(?:from|into)\b/.test(sql));
      expect(sent).to.not.eql([]);
      for (const statement of new Map(sent.map((each) => [each.sql, each])).values()) {
        for (const mode of ["force_custom_plan", "force_generic_plan"]) {
          for (const node of flatten(await explain(statement, mode))) {
            const what = `${mode} of ${statement.sql}: ${JSON.stringify(node)}`;
            if (node["Node Type"] === "Seq Scan")
              expect(bigTables, what).to.not.include(node["Relation Name"]);
            if (edgeTables.includes(node["Relation Name"] ?? ""))
              expect(unexpectedPartOf(node.Filter), what).to.equal("");
            // The first page of a whole table.
            if (node.isLimited && node.Filter === undefined) continue;
            const columns = indexColumns.get(node["Index Name"] ?? "") ?? [];
            // These look up single rows by whole keys. By a part of a key they would read a user's whole list.
            for (const column of /\b(?:checks?|relationships|preview)\b/.test(name)
              ? columns
              : columns.slice(0, 1))
              expect(node["Index Cond"], what).to.match(new RegExp(`\\b${column}\\b`));
          }
        }
      }
    });
  }

  /** How many edges a statement reads when it is run. */
  async function edgesRead(statement: Statement, mode: string): Promise<number> {
    return flatten(await explain(statement, mode, "analyze, "))
      .filter((node) => edgeTables.includes(node["Relation Name"] ?? ""))
      .reduce((sum, node) => sum + (node["Actual Rows"] ?? 0), 0);
  }

  async function literalOf(value: unknown, place: number, text: string): Promise<string> {
    const { admin } = store();
    if (!Buffer.isBuffer(value)) return literal(value, admin.escapeLiteral);
    const type = new RegExp(`\\$${place + 1}::(\\w+(?:\\[\\])?)`).exec(text)?.[1];
    const { rows } = await admin.query(`select $1::${type}::text as text`, [value]);
    return admin.escapeLiteral(rows[0].text);
  }

  async function explain(
    { sql: text, parameters }: Statement,
    mode: string,
    options = "",
  ): Promise<PlanNode> {
    const { admin } = store();
    await admin.query(`set plan_cache_mode = ${mode}`);
    await admin.query("deallocate all");
    await admin.query(`prepare statement as ${text}`);
    const values: string[] = [];
    for (const [i, value] of parameters.entries()) values.push(await literalOf(value, i, text));
    const call = values.length === 0 ? "statement" : `statement (${values.join(", ")})`;
    const { rows } = await admin.query(`explain (${options}format json) execute ${call}`);
    return rows[0]["QUERY PLAN"][0].Plan;
  }
});

/** What a filter has besides the permitted conditions. */
function unexpectedPartOf(filter = ""): string {
  return permittedConditions.reduce((text, permitted) => text.replaceAll(permitted, ""), filter);
}

function literal(value: unknown, quoted: (text: string) => string): string {
  if (value === null) return "null";
  if (!Array.isArray(value)) return quoted(String(value));
  return quoted(
    `{${value.map((item) => (item === null ? "null" : JSON.stringify(String(item)))).join(",")}}`,
  );
}

/** The nodes of a plan, each with whether it is ended by a limit. */
function flatten(node: PlanNode, isLimited = false): (PlanNode & { readonly isLimited: boolean })[] {
  const below = (node.Plans ?? []).flatMap((child) => flatten(child, node["Node Type"] === "Limit"));
  return [{ ...node, isLimited }, ...below];
}
