import type pg from "pg";
import type { Statement } from "./statements.ts";

interface AnalyzedNode {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Actual Rows": number;
  readonly "Actual Loops": number;
  readonly "Rows Removed by Filter"?: number;
  readonly "Rows Removed by Index Recheck"?: number;
  readonly "Shared Hit Blocks": number;
  readonly "Shared Read Blocks": number;
  readonly Plans?: AnalyzedNode[];
}

/** What a statement read of the tables. */
export interface RowsRead {
  /** Rows of all scans, with those that a scan dropped. */
  readonly rows: number;
  /** Pages of tables and indexes, also those whose rows are not visible. */
  readonly pages: number;
  /** Tables that were read as a whole. */
  readonly scanned: readonly string[];
}

/** Runs a statement in a transaction that is rolled back, by a plan of a mode, and returns what it read. */
export async function rowsRead(
  client: pg.Client,
  { sql, parameters }: Statement,
  mode: "force_custom_plan" | "force_generic_plan",
): Promise<RowsRead> {
  const values = parameters.map((value) => literal(client, value)).join(", ");
  await client.query(`begin; set local plan_cache_mode = ${mode}; set local random_page_cost = 1`);
  try {
    await client.query("deallocate all");
    await client.query(`prepare statement as ${sql}`);
    const call = values === "" ? "statement" : `statement (${values})`;
    const { rows } = await client.query(`explain (analyze, buffers, format json) execute ${call}`);
    const plan: AnalyzedNode = rows[0]["QUERY PLAN"][0].Plan;
    const scans = flatten(plan).filter((node) => node["Relation Name"] !== undefined);
    return {
      rows: scans.reduce((sum, node) => sum + rowsOf(node), 0),
      pages: plan["Shared Hit Blocks"] + plan["Shared Read Blocks"],
      scanned: scans
        .filter((node) => node["Node Type"] === "Seq Scan")
        .map((node) => String(node["Relation Name"])),
    };
  } finally {
    await client.query("rollback");
  }
}

function rowsOf(node: AnalyzedNode): number {
  const dropped = (node["Rows Removed by Filter"] ?? 0) + (node["Rows Removed by Index Recheck"] ?? 0);
  return (node["Actual Rows"] + dropped) * node["Actual Loops"];
}

function literal(client: pg.Client, value: unknown): string {
  if (Array.isArray(value)) return client.escapeLiteral(`{${value.join(",")}}`);
  return value === null ? "null" : client.escapeLiteral(String(value));
}

function flatten(node: AnalyzedNode): AnalyzedNode[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)];
}
