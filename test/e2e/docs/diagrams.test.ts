import { MikroORM } from "@mikro-orm/postgresql";
import { expect } from "chai";
import type { Browser, Page } from "playwright-core";
import { ormOptions } from "../../../src/store/migrations/migrate.ts";
import { startBrowser } from "../../support/browser.ts";
import { complaintAbout, diagrams, loadMermaid, readEntityDiagram } from "../../support/mermaid.ts";

describe("the diagrams of the documents", () => {
  let browser: Browser;
  let page: Page;
  before(async function () {
    browser = await startBrowser(this);
    page = await browser.newPage();
    await loadMermaid(page);
  });
  after(() => browser?.close());

  it("can be parsed by Mermaid", async () => {
    const found = diagrams();
    expect(found).to.have.length.above(4);
    for (const { document, line, text } of found)
      expect(await complaintAbout(page, text), `${document}:${line}`).to.equal(undefined);
  });

  it("are checked: Mermaid complains about a broken one", async () => {
    for (const text of ["flowchart LR\n  a[open --> b", "sequenceDiagram\n  a ->", "erDiagram\n  a { uuid }"])
      expect(await complaintAbout(page, text), text).to.match(/error/i);
  });

  it("show the entities of the database: tables, columns, keys and references", async () => {
    const [diagram = { text: "" }, ...others] = diagrams().filter(({ text }) => text.startsWith("erDiagram"));
    expect(others).to.eql([]);
    const shown = await readEntityDiagram(page, diagram.text);
    const orm = await MikroORM.init({ ...ormOptions(() => {}), dbName: "not connected to" });
    const tables = [...orm.getMetadata().getAll().values()];
    await orm.close();
    expect(shown.entities).to.have.deep.members(
      tables.map(({ tableName, props }) => ({
        label: tableName,
        attributes: props.map(({ columnTypes, fieldNames, primary, targetMeta }) => ({
          // What MikroORM calls the type of an identity column before it makes the column.
          type: columnTypes[0] === "bigserial" ? "bigint" : columnTypes[0],
          name: fieldNames[0],
          keys: [...(primary ? ["PK"] : []), ...(targetMeta ? ["FK"] : [])],
        })),
      })),
    );
    expect(shown.relationships).to.have.deep.members(
      tables.flatMap(({ tableName, props }) =>
        props.flatMap(({ fieldNames, targetMeta }) =>
          targetMeta ? [{ from: tableName, column: fieldNames[0], to: targetMeta.tableName }] : [],
        ),
      ),
    );
  });
});
