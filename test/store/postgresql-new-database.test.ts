import { expect } from "chai";
import { until } from "../support/until.ts";
import { onPostgresql } from "./suite/postgresql.ts";

const users = 5_000;
const reads = 20;

describe("a new database on PostgreSQL", () => {
  const store = onPostgresql();

  // The server may find that out long before it is told how large the log has become.
  it("is not read whole for what is new, by a statement that was planned when its log was empty", async () => {
    const { admin, changes, readIndex } = store();
    // With statistics of empty tables the server expects a whole one to cost less than an index.
    await admin.query("vacuum analyze");
    const scans = async () => {
      const { rows } = await admin.query<{ whole: number; byIndex: number }>(
        `select seq_tup_read::int as whole, idx_scan::int as "byIndex"
         from pg_stat_user_tables where relname = 'changes'`,
      );
      return rows[0] ?? { whole: 0, byIndex: 0 };
    };
    const [base, session] = [await changes.newestTick(), await readIndex.begin()];
    let { snapshot } = base;
    const read = async () => {
      const found = await readIndex.read({ session, base, snapshot }, users);
      snapshot = found?.snapshot ?? snapshot;
      return found?.changes?.length;
    };
    await read();
    await admin.query(
      `insert into users (id, user_name, first_name, last_name, profile_picture_urls, is_verified)
       select gen_random_uuid(), 'user' || n, '', '', '{}', false from generate_series(1, ${users}) n`,
    );
    expect(await read()).to.equal(users);
    const before = await scans();
    // The server shows what a session has read some time after it has.
    await until(async () => {
      await read();
      const now = await scans();
      return now.byIndex + now.whole / users >= before.byIndex + before.whole / users + reads;
    });
    expect((await scans()).whole - before.whole).to.be.below(users);
  });
});
