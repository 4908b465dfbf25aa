import { globSync, readFileSync } from "node:fs";
import { expect } from "chai";
import { sql } from "kysely";
import type { UserId } from "../../src/domain/users.ts";
import type { StatePosition } from "../../src/store/change-log.ts";
import { type Statement, statementsOf } from "../support/statements.ts";
import { addCrowd } from "./suite/erasure.ts";
import { storeOperations } from "./suite/operations.ts";
import { onPostgresql } from "./suite/postgresql.ts";

/** Templates of statements that are not sent by the methods of the store. */
const elsewhere = [/^begin|^commit|^rollback|^set local/, /^select 1$/, /^select name from migrations/];

const normalized = (text: string) => text.replaceAll(/\s+/g, " ").trim();

type Users = [actor: UserId, target: UserId, owner: UserId, gone: UserId, ...others: UserId[]];

/** The beginning of each SQL template of a source text, up to its first value. */
function templatesOf(source: string): string[] {
  return [...source.matchAll(/\bsql(?:<[^`]*?>)?`([^`$]*)/g)]
    .map(([, text = ""]) => normalized(text))
    .filter((text) => /\w{3}/.test(text));
}

describe("the statements of the store", () => {
  const store = onPostgresql();
  let sent: Statement[];

  before(async () => {
    const [actor, target, owner, gone, ...others] = (await store().newUsers(7)) as Users;
    const [one, other] = others;
    // What the upkeep looks for: rows that have ended, and an erasure that was begun.
    await store().query(sql`insert into blocks values (${one}, ${other}, gen_random_uuid(), now(), now())`);
    await store().query(sql`insert into mutes values (${one}, ${other}, gen_random_uuid(), now(), now())`);
    await store().query(sql`update users set erased_at = now() where id = ${gone}`);
    await addCrowd(store(), owner);
    const operations = storeOperations({ actor, target, owner, others });
    sent = await statementsOf(store().url, async (database) => {
      for (const operation of Object.values(operations)) await operation(database);
      await database.users.findByName("ann");
      await database.users.isEmpty();
      await database.signingKey();
      await database.assertMigrated();
      for (let next: StatePosition | undefined = { table: 0, key: [] }; next !== undefined; )
        ({ next } = await database.changes.readState(next, 1));
      // As a dump leaves it that is restored into a younger server.
      await store().admin.query("insert into ticks values (1000000, '1000000000:1000000000:')");
      await database.changes.tick();
    });
  });

  it("are all prepared by PostgreSQL on the migrated tables", async () => {
    const texts = new Set(sent.map(({ sql }) => sql).filter((text) => /\b(?:from|into)\b/.test(text)));
    expect(texts.size).to.be.above(30);
    for (const text of texts) {
      await store().admin.query(`prepare statement as ${text}`);
      await store().admin.query("deallocate statement");
    }
  });

  it("are all sent by these tests: every template of the source is part of one", () => {
    const texts = sent.map(({ sql }) => normalized(sql));
    const missing = globSync("src/store/*.ts")
      .flatMap((file) => templatesOf(readFileSync(file, "utf8")))
      .filter((template) => !elsewhere.some((pattern) => pattern.test(template)))
      .filter((template) => !texts.some((text) => text.includes(template)));
    expect(missing).to.eql([]);
  });
});
