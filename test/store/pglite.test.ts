import { rmSync } from "node:fs";
import { join } from "node:path";
import { MikroORM } from "@mikro-orm/pglite";
import { expect } from "chai";
import { sql } from "kysely";
import { openEmbedded } from "../../src/store/embedded.ts";
import { ormOptions } from "../../src/store/migrations/migrate.ts";
import { newDataDirectory } from "../support/data-directory.ts";
import { forcedTick } from "./suite/changes.ts";
import { describeStore } from "./suite/index.ts";
import { type TestStore, testStore } from "./suite/store.ts";

describe("the store on PGlite", () => {
  let store: TestStore;
  before(async () => {
    store = testStore(await openEmbedded("memory://", () => {}));
    await store.migrate();
  });
  after(() => store.close());

  describeStore(() => store);

  it("uses the space of deleted changes again, without the vacuum that a server does by itself", async () => {
    const sizes: number[] = [];
    for (let round = 0; round < 3; round++) {
      await store.query(sql`
        insert into changes (kind, owner, present)
        select 'user', gen_random_uuid(), true from generate_series(1, 5000)`);
      await forcedTick(store);
      await store.query(sql`update ticks set at = at - interval '100 hours'`);
      while (await store.changeLogUpkeep.retain(72));
      const [row] = await store.query(sql<{ size: number }>`select pg_relation_size('changes')::int as size`);
      sizes.push(row?.size ?? 0);
    }
    expect(sizes[2]).to.be.at.most((sizes[0] ?? 0) + 100_000);
  });

  it("has the schema that the entities describe", async () => {
    const dataDir = await newDataDirectory();
    const orm = await MikroORM.init({ ...ormOptions(() => {}), dbName: join(dataDir, "database") });
    try {
      expect(await orm.schema.getUpdateSchemaSQL()).to.equal("");
    } finally {
      await orm.close();
      rmSync(dataDir, { recursive: true, force: true });
    }
  });
});
