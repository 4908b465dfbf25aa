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
const elsewhere = [
  /^begin|^commit|^rollback|^set local|^vacuum/,
  /^select 1$/,
  /^select name from migrations/,
];

const normalized = (text: string) => text.replaceAll(/\s+/g, " ").trim();

type Users = [actor: UserId, target: UserId, owner: UserId, gone: UserId, ...others: UserId[]];

/** The beginning of each SQL template of a source text, up to its first value. */
function templatesOf(source: string): string[] {
  return [...source.matchAll(/\bsql(?:<[^`]*?>)?`([^`$]*)/g)]
    .map(([, text = ""]) => normalized(text))
    .filter((text) => /\w{3}/.test(text));
}

/** The text of each pair of parentheses, and of all that is outside, without that of the pairs within. */
function levelsOf(text: string): string[] {
  const open = [""];
  const levels: string[] = [];
  for (const character of text) {
    if (character === "(") open.push("");
    else if (character === ")") levels.push(open.pop() ?? "");
    else open[open.length - 1] += character;
  }
  return [...levels, ...open];
}

const count = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].length;

/** A condition that every statement has for each row of a table that it reads. */
interface RowCondition {
  readonly reading: RegExp;
  readonly condition: RegExp;
  /** Parts of statements that are right without it. */
  readonly except: readonly RegExp[];
}

/** Pages in the order of the keys: what does not hold is left out after the limit. */
const keyPages = /^ ?select \* from .* order by .* limit \$\d+ ?$/;
/** The last key of such a page. */
const lastKeys = /^select array\[[^\]]*\] from .* limit 1 offset \$\d+::int - 1$/;

const rowConditions: Record<string, RowCondition> = {
  "leave out blocks and mutes that have ended": {
    reading:
      /(?<!\bdelete )\b(?:from|join|using|,) "?(?:blocks|mutes)\b|\binto "?(?:blocks|mutes)"? .*do update/g,
    condition: /\bexpires_at (?:>|<=) statement_timestamp/g,
    except: [
      keyPages,
      lastKeys,
      // Pairs about which the graph and the tables are compared.
      /^select \S+ as owner, \S+ as target from /,
      // Hidden users: what has ended is left out after the limit.
      / as hides from /,
      // The size of an export, and what an erasure deletes.
      /^ ?select (?:count|ctid) from /,
    ],
  },
  "leave out users who are being erased": {
    reading: /(?<!\bdelete )\b(?:from|join|using|update|,) "?users\b|\binto "?users"? .*do update/g,
    condition: /\berased_at\b/g,
    except: [
      keyPages,
      lastKeys,
      // Locks of any row that there is, without a change.
      / do update set user_name = excluded\.user_name where false/,
      /^select from users where id = \$1 for update$/,
    ],
  },
};

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
    await store().query(sql`
      insert into idempotency_keys (actor_id, key, request, created_at)
      values (${one}, '', '', now() - interval '1 day')`);
    await addCrowd(store(), owner);
    const operations = storeOperations({ actor, target, owner, others });
    sent = await statementsOf(store().url, async (database) => {
      for (const operation of Object.values(operations)) await operation(database);
      await database.users.isEmpty();
      await database.signingKey();
      await database.assertMigrated();
      for (let next: StatePosition | undefined = { table: 0, key: [] }; next !== undefined; )
        ({ next } = await database.changes.readState(next, 1));
      // As a dump leaves it that is restored into a younger server.
      await store().admin.query("insert into ticks values (1000000, '1000000000:1000000000:')");
      const from = await database.changes.tick();
      // An old tick before an old one, which retention deletes.
      const to = await database.changes.tick({ force: true });
      if (from === undefined || to === undefined) throw new Error("no tick was stored");
      await database.changes.read(from, to, 1n, 10);
      await store().admin.query("update ticks set at = at - interval '100 hours'");
      await database.changeLogUpkeep.retain(72);
      while (await database.changeLogUpkeep.scrubErased());
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

  for (const [what, { reading, condition, except }] of Object.entries(rowConditions)) {
    it(what, () => {
      const texts = [...new Set(sent.map(({ sql }) => normalized(sql)))];
      expect(texts.filter((text) => count(text, reading) > 0)).to.have.length.above(10);
      const wrong = texts
        .flatMap(levelsOf)
        .filter((level) => !except.some((pattern) => pattern.test(level)))
        .filter((level) => count(level, reading) > count(level, condition));
      expect(wrong).to.eql([]);
    });
  }

  it("are all sent by these tests: every template of the source is part of one", () => {
    const texts = sent.map(({ sql }) => normalized(sql));
    const missing = globSync("src/store/*.ts")
      .flatMap((file) => templatesOf(readFileSync(file, "utf8")))
      .filter((template) => !elsewhere.some((pattern) => pattern.test(template)))
      .filter((template) => !texts.some((text) => text.includes(template)));
    expect(missing).to.eql([]);
  });
});
