import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Size } from "../bench/data/sizes.ts";
import { measure } from "../bench/harness/comparison.ts";
import { type BenchDatabase, startDatabase } from "../bench/harness/database.ts";
import { accessRows } from "../bench/rows/access.ts";
import { hiddenRows } from "../bench/rows/hidden.ts";
import { type Setting, startSetting } from "../bench/setting.ts";
import { programOrSkip } from "../support/programs.ts";
import { canStartServer } from "../support/throwaway-server.ts";

const size: Size = {
  users: 4_000,
  blocks: 8_000,
  mutes: 8_000,
  follows: 20_000,
  viewers: [10, 100, 3_000],
  longest: 3_000,
};

describe("the benchmark of decisions", function () {
  this.timeout(180_000);
  const folder = mkdtempSync(join(tmpdir(), "privacy-control-bench-"));
  let database: BenchDatabase | undefined;
  let setting: Setting | undefined;

  before(async function () {
    programOrSkip(this, "taskset");
    if (!canStartServer()) this.skip();
    database = await startDatabase(size);
    setting = await startSetting(database, folder);
  });
  after(async () => {
    await setting?.[Symbol.asyncDispose]();
    await database?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  it("finds the answers of the service and of its peers right, in every row", async () => {
    if (database === undefined || setting === undefined) return;
    const rows = [
      ...(await accessRows(setting, database, size)),
      ...(await hiddenRows(setting, database.client, size)),
    ];
    for (const row of rows) {
      // Throws when an answer is wrong or missing.
      for (const contender of [row.ours, ...row.peers.map((peer) => peer.contender)])
        await measure(row, contender, 200);
    }
  });
});
