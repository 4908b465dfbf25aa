import { expect } from "chai";
import { sql } from "kysely";
import type { UserId } from "../../src/domain/users.ts";
import { edgeStatements } from "../../src/store/edges.ts";
import { onPostgresql } from "./suite/postgresql.ts";

interface PlanNode {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Index Name"?: string;
  readonly "Actual Rows": number;
  readonly "Actual Loops": number;
  readonly "Rows Removed by Filter"?: number;
  readonly Plans?: PlanNode[];
}

const manyRecords = 31_000;

describe("long lists on PostgreSQL", () => {
  const store = onPostgresql();
  let owner: UserId;

  before(async function () {
    this.timeout(60_000);
    [owner] = (await store().newUsers(1)) as [UserId];
    const { admin } = store();
    // Half the time goes to checking the foreign keys; only a superuser may leave that out.
    await admin.query("set session_replication_role = replica").catch(() => {});
    await admin.query(`
      insert into users select gen_random_uuid(), 'many', '', '', '{}', false from generate_series(1, ${manyRecords})`);
    for (const table of ["blocks", "mutes"]) {
      // The one long list, and 100 records for each of 500 other owners, which is what the planner expects.
      await admin.query(
        `insert into ${table} select $1, id, gen_random_uuid(), now() - random() * interval '1 year'
         from users where id <> $1`,
        [owner],
      );
      await admin.query(`
        insert into ${table} select a.id, b.id, gen_random_uuid(), now()
        from (select id from users limit 500) a, (select id from users offset 15000 limit 100) b
        where a.id <> b.id on conflict do nothing`);
    }
    await admin.query("vacuum analyze");
    const [cost] = await store().query(sql<{ random_page_cost: string }>`show random_page_cost`);
    await admin.query(`set random_page_cost = ${cost?.random_page_cost}`);
  });

  for (const [table, column] of [
    ["blocks", "blocker_id"],
    ["mutes", "muter_id"],
  ] as const) {
    const target = table === "blocks" ? "blocked_id" : "muted_id";
    const { list } = edgeStatements({
      name: sql.table(table),
      owner: sql.ref(column),
      target: sql.ref(target),
      terms: ["expires_at"],
      duplicateReason: "INTERNAL",
      absentReason: "INTERNAL",
    });

    for (const mode of ["force_custom_plan", "force_generic_plan"]) {
      for (const place of ["the start", "deep in the list"]) {
        it(`read ${table} from ${place} by the index alone (${mode})`, async () => {
          const after = place === "the start" ? undefined : await positionOf(table, column, 29_000);
          const plan = await explain(list(owner, 1_000, after), mode);
          const nodes = flatten(plan).filter((node) => node["Relation Name"] === table);
          expect(nodes.map((node) => node["Index Name"])).to.eql([`${table}_list_index`]);
          const [scan] = nodes as [PlanNode];
          expect(scan["Actual Rows"] * scan["Actual Loops"]).to.equal(1_000);
          expect(scan["Rows Removed by Filter"] ?? 0).to.equal(0);
        });
      }
    }
  }

  async function positionOf(table: string, column: string, offset: number) {
    const { rows } = await store().admin.query(
      `select id, (extract(epoch from created_at) * 1000000)::bigint as micros from ${table}
       where ${column} = $1 order by created_at desc, id desc offset $2 limit 1`,
      [owner, offset],
    );
    return { id: rows[0].id as string, createdAt: BigInt(rows[0].micros) };
  }

  async function explain(
    statement: { sql: string; parameters: readonly unknown[] },
    mode: string,
  ): Promise<PlanNode> {
    const { admin } = store();
    await admin.query(`set plan_cache_mode = ${mode}`);
    await admin.query("deallocate all");
    await admin.query(`prepare page as ${statement.sql}`);
    const values = statement.parameters.map((value) => admin.escapeLiteral(String(value))).join(", ");
    const { rows } = await admin.query(`explain (analyze, format json) execute page (${values})`);
    return rows[0]["QUERY PLAN"][0].Plan;
  }
});

function flatten(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)];
}
