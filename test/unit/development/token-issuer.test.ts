import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { ConfigError } from "../../../src/config/variables.ts";
import { developmentSecret } from "../../../src/development/token-issuer.ts";

describe("the development secret", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "privacy-control-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it("is created once, readable by its owner only, and leaves only its lock beside it", () => {
    const data = join(folder, "data");
    const secret = developmentSecret(data);
    expect(Buffer.byteLength(secret)).to.be.at.least(32);
    expect(developmentSecret(data)).to.equal(secret);
    expect(readdirSync(data)).to.eql(["jwt-secret", "jwt-secret.lock"]);
    expect(statSync(join(data, "jwt-secret")).mode & 0o777).to.equal(0o600);
  });

  it("is the same for processes that start at the same time", async () => {
    const url = new URL("../../../src/development/token-issuer.ts", import.meta.url).href;
    const script = `const { developmentSecret } = await import(${JSON.stringify(url)});
      process.stdout.write(developmentSecret(${JSON.stringify(folder)}));`;
    const run = () => promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
    const secrets = await Promise.all(Array.from({ length: 4 }, run));
    expect(new Set(secrets.map(({ stdout }) => stdout))).to.eql(new Set([developmentSecret(folder)]));
  });

  // As a file system may be that has none, FAT say.
  it("needs no hard links", () => {
    const script = `import fs from "node:fs"; import { syncBuiltinESMExports } from "node:module";
      fs.linkSync = () => { throw Object.assign(new Error("not permitted"), { code: "EPERM" }); };
      syncBuiltinESMExports();`;
    const url = new URL("../../../src/development/token-issuer.ts", import.meta.url).href;
    const args = [
      "--import",
      `data:text/javascript,${encodeURIComponent(script)}`,
      "--input-type=module",
      "-e",
    ];
    const call = `const { developmentSecret } = await import(${JSON.stringify(url)});
      process.stdout.write(developmentSecret(${JSON.stringify(folder)}));`;
    expect(execFileSync(process.execPath, [...args, call], { encoding: "utf8" })).to.equal(
      developmentSecret(folder),
    );
  });

  it("is rejected when its file is damaged, with the file's name", () => {
    writeFileSync(join(folder, "jwt-secret"), "");
    expect(() => developmentSecret(folder)).to.throw(ConfigError, join(folder, "jwt-secret"));
  });
});
