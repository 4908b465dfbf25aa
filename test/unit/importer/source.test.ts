import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { expect } from "chai";
import { inspectFile } from "../../../src/importer/import-file.ts";
import type { ReadOptions } from "../../../src/importer/records.ts";
import { InputError, openSource } from "../../../src/importer/source.ts";
import { id } from "../../support/import-content.ts";

describe("the source of an import", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "privacy-control-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const nothing = () => Readable.from([]);

  function write(name: string, content: string): string {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  }

  /** The message of an `InputError`; undefined when there is none. */
  async function refusal(promise: Promise<unknown>): Promise<string | undefined> {
    try {
      await promise;
      return undefined;
    } catch (failure) {
      expect(failure).to.be.instanceOf(InputError);
      return (failure as Error).message;
    }
  }

  it("copies standard input to a file of its owner only, and removes it", async () => {
    let path = "";
    {
      await using source = await openSource("-", Readable.from(["a\n", "b\n"]));
      path = source.path;
      expect(source.size).to.equal(4);
      expect(statSync(path).mode & 0o777).to.equal(0o600);
      expect(statSync(dirname(path)).mode & 0o777).to.equal(0o700);
    }
    expect(existsSync(dirname(path))).to.equal(false);
  });

  it("detects that its file has changed", async () => {
    const path = write("file.ndjson", "{}\n");
    await using source = await openSource(path, nothing());
    expect(await refusal(source.assertUnchanged())).to.equal(undefined);
    appendFileSync(path, "{}\n");
    expect(await refusal(source.assertUnchanged())).to.match(/changed while it was imported/);
  });

  it("rejects a directory", async () => {
    expect(await refusal(openSource(folder, nothing()))).to.match(/is a directory: expected a file/);
  });

  it("has an id that depends only on content, format and the options that change the meaning", async () => {
    const usual: ReadOptions = { assumeUtc: false, ignore: [] };
    const content = JSON.stringify({ type: "user", id: id(1), userName: "u" });
    const idOf = async (file: string, text: string, reading: Partial<ReadOptions> = {}) =>
      (await inspectFile(write(file, text), { ...usual, ...reading })).id;
    const first = await idOf("a.ndjson", content);
    expect(await idOf("b.ndjson", content)).to.equal(first);
    utimesSync(join(folder, "a.ndjson"), 1, 1);
    expect((await inspectFile(join(folder, "a.ndjson"), usual)).id).to.equal(first);
    const csv = "type,id,userName\n";
    const others = [
      await idOf("a.ndjson", content.replace(id(1), id(2))),
      await idOf("a.ndjson", content, { assumeUtc: true }),
      await idOf("a.ndjson", content, { ignore: ["firstName"] }),
      await idOf("a.ndjson", `${content}\n`),
      await idOf("a.csv", csv),
    ];
    expect(new Set([first, ...others]).size).to.equal(others.length + 1);
    expect(await idOf("a", content)).to.equal(first);
    expect(await idOf("a.ndjson", content, { ignore: ["b", "a"] })).to.equal(
      await idOf("a.ndjson", content, { ignore: ["a", "b"] }),
    );
  });
});
