import { scrape } from "./scrape.ts";
import type { TestService } from "./service.ts";
import { until } from "./until.ts";

/** Waits until the relationship graph of a service answers. */
export async function untilGraphReady({ adminUrl }: Pick<TestService, "adminUrl">): Promise<void> {
  await until(
    async () => (await scrape(adminUrl)).value("privacy_control_graph_mode", { mode: "ready" }) === 1,
  );
}

/** How often a service asked its tables for decisions, and how often its graph for what is new. */
export async function decisionStatements({
  adminUrl,
}: Pick<TestService, "adminUrl">): Promise<{ tables: number; graph: number }> {
  const scraped = await scrape(adminUrl);
  return {
    tables: scraped.value("privacy_control_check_batch_pairs_count") ?? 0,
    graph: scraped.value("privacy_control_graph_statements_total") ?? 0,
  };
}
