import { rmSync } from "node:fs";
import { join } from "node:path";
import { MikroORM } from "@mikro-orm/pglite";
import { expect } from "chai";
import { openEmbedded } from "../../src/store/embedded.ts";
import { ormOptions } from "../../src/store/migrations/migrate.ts";
import { newDataDirectory } from "../support/data-directory.ts";
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
