import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { ConfigError } from "../../../src/config/read.ts";
import { developmentSecret } from "../../../src/development/signing-secret.ts";

describe("the development secret", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "privacy-control-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it("is made once, for its owner alone, and leaves nothing else behind", () => {
    const data = join(folder, "data");
    const secret = developmentSecret(data);
    expect(Buffer.byteLength(secret)).to.be.at.least(32);
    expect(developmentSecret(data)).to.equal(secret);
    expect(readdirSync(data)).to.eql(["jwt-secret"]);
    expect(statSync(join(data, "jwt-secret")).mode & 0o777).to.equal(0o600);
  });

  it("is refused when its file is damaged, by the file's name", () => {
    writeFileSync(join(folder, "jwt-secret"), "");
    expect(() => developmentSecret(folder)).to.throw(ConfigError, join(folder, "jwt-secret"));
  });
});
