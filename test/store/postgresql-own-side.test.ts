import { expect } from "chai";
import { sql } from "kysely";
import type { UserId } from "../../src/domain/users.ts";
import type { Database } from "../../src/store/database.ts";
import { rowsRead } from "../support/rows-read.ts";
import { type Statement, statementsOf } from "../support/statements.ts";
import { onPostgresql } from "./suite/postgresql.ts";

const crowd = 100_000;
const asked = 100;
const settings = `unnest(array['last_seen', 'profile_picture', 'status', 'read_receipts', 'groups']) s (setting)`;

describe("the own side of a user with 100,000 blocks, mutes and follows", () => {
  const store = onPostgresql();
  let owner: UserId;
  let others: UserId[];

  before(async function () {
    this.timeout(120_000);
    [owner] = (await store().newUsers(1)) as [UserId];
    const { admin } = store();
    // Most of the time goes to foreign keys and the change log; only a superuser may leave them out.
    await admin.query("set session_replication_role = replica").catch(() => {});
    await admin.query(
      `insert into users select gen_random_uuid(), 'many', '', '', '{}', false from generate_series(1, ${crowd})`,
    );
    for (const table of ["blocks", "mutes"])
      await admin.query(
        `insert into ${table} select $1, id, gen_random_uuid(), now() from users where id <> $1`,
        [owner],
      );
    await admin.query("insert into follows select $1, id, now() from users where id <> $1", [owner]);
    await admin.query(
      `insert into privacy_settings select id, setting, 'contacts'
       from (select $1::uuid as id union select id from (select id from users limit 20000) others) chosen, ${settings}`,
      [owner],
    );
    await admin.query(
      `insert into privacy_exceptions select $1, setting, id, now()
       from (select id from users where id <> $1 limit 1000) excepted, ${settings}`,
      [owner],
    );
    await admin.query("vacuum analyze");
    const rows = await store().query(
      sql<{ id: UserId }>`select excepted_id as id from privacy_exceptions
        where user_id = ${owner} and setting = 'groups' limit ${asked}`,
    );
    others = rows.map(({ id }) => id);
  });

  const questions: Record<string, { most: number; ask: (database: Database) => Promise<unknown> }> = {
    // The actor; for each user the user, a follow, a block and a mute.
    "are read for relationships with a hundred users": {
      most: 1 + 4 * asked,
      ask: ({ relationships }) => relationships.read(owner, others),
    },
    // Both users, a block, a follow, and for each setting its value and the exception.
    "are read for a preview": {
      most: 2 + 2 + 5 * 2,
      ask: ({ previews }) => previews.read(owner, others[0] as UserId),
    },
  };

  for (const [what, { most, ask }] of Object.entries(questions)) {
    for (const mode of ["force_custom_plan", "force_generic_plan"] as const) {
      it(`no more rows ${what} than it answers with (${mode})`, async () => {
        const sent = await statementsOf(store().url, ask);
        expect(sent).to.have.length(1);
        const { rows, pages, scanned } = await rowsRead(store().admin, sent[0] as Statement, mode);
        expect(scanned).to.eql([]);
        expect(rows).to.be.within(most / 2, most);
        // The levels of an index and the row, several times over.
        expect(pages).to.be.below(8 * most);
      });
    }
  }
});
