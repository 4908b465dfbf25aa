import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { DataDirectoryError } from "../../src/store/data-directory.ts";
import { type Database, DirectoryInUseError, openDatabase } from "../../src/store/database.ts";
import { newDataDirectory } from "../support/data-directory.ts";
import { failureOf, someUser } from "./suite/store.ts";

const holder = fileURLToPath(new URL("../support/hold-directory.ts", import.meta.url));

describe("the directory of the embedded database", function () {
  this.timeout(30_000);
  let parent: string;
  let dataDir: string;
  const databases: Database[] = [];
  const children: ChildProcess[] = [];

  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), "privacy-control-store-"));
    dataDir = join(parent, "not", "there", "yet");
  });
  afterEach(async () => {
    for (const database of databases.splice(0)) await database.close();
    for (const child of children.splice(0)) child.kill("SIGKILL");
    rmSync(parent, { recursive: true, force: true });
  });

  /** Takes a directory whose database has been made. */
  async function useExisting(): Promise<void> {
    mkdirSync(join(dataDir, ".."), { recursive: true });
    renameSync(await newDataDirectory(), dataDir);
  }

  async function open(): Promise<Database> {
    const database = await openDatabase({ dataDir });
    databases.push(database);
    return database;
  }

  async function close(): Promise<void> {
    await databases.pop()?.close();
  }

  it("is made, keeps the data, and serves again after it was closed", async () => {
    const first = await open();
    await first.migrate();
    const user = someUser();
    await first.users.upsert([user]);
    const key = await first.signingKey();
    await close();
    const second = await open();
    await second.assertMigrated();
    expect(await second.users.find(user.id)).to.eql(user);
    expect(await second.signingKey()).to.eql(key);
    expect(second.describe()).to.equal(dataDir);
  });

  it("is refused to a second opener in the same process, without harm to the first", async () => {
    await useExisting();
    const first = await open();
    for (let attempt = 0; attempt < 2; attempt++) {
      const failure = await failureOf(openDatabase({ dataDir }));
      expect(failure).to.be.instanceOf(DirectoryInUseError);
      expect((failure as Error).message).to.contain(dataDir);
    }
    await first.users.isEmpty();
  });

  it("is refused while another process uses it, and usable once that process was killed", async () => {
    await useExisting();
    const child = spawn(process.execPath, [holder, dataDir], { stdio: ["pipe", "pipe", "inherit"] });
    children.push(child);
    await once(child.stdout, "data");
    expect(await failureOf(openDatabase({ dataDir }))).to.be.instanceOf(DirectoryInUseError);
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
    await (await open()).users.isEmpty();
  });

  it("is made again when making it was interrupted, and the log says so beforehand", async () => {
    mkdirSync(join(dataDir, "database.new", "base"), { recursive: true });
    let creations = 0;
    const options = { dataDir, onCreate: () => (creations += 1) };
    for (let round = 0; round < 2; round++) {
      databases.push(await openDatabase(options));
      await databases.at(-1)?.migrate();
      await close();
    }
    expect(creations).to.equal(1);
    expect(readdirSync(dataDir)).to.eql(["database", "database.lock"]);
  });

  it("is not changed, but named in the error, when its database is damaged", async () => {
    mkdirSync(join(dataDir, "database", "base"), { recursive: true });
    for (const version of [undefined, "9\n"]) {
      if (version !== undefined) writeFileSync(join(dataDir, "database", "PG_VERSION"), version);
      const failure = await failureOf(openDatabase({ dataDir }));
      expect(failure).to.be.instanceOf(DataDirectoryError);
      expect((failure as Error).message).to.match(/^DATA_DIR: .*database cannot be opened/);
    }
  });

  it("is named when it is a file, or cannot be made", async () => {
    writeFileSync(join(parent, "file"), "");
    // Nobody can make a directory below /proc, where there is one.
    for (const path of [join(parent, "file"), join(parent, "file", "data"), "/proc/file/data"]) {
      if (path.startsWith("/proc") && !existsSync("/proc/self")) continue;
      const failure = await failureOf(openDatabase({ dataDir: path }));
      expect(failure).to.be.instanceOf(DataDirectoryError);
      expect((failure as Error).message).to.match(/^DATA_DIR: .*file.* cannot be used/);
    }
  });

  it("is needed when there is no URL", async () => {
    expect(await failureOf(openDatabase({}))).to.be.instanceOf(Error);
  });
});
