import { execFileSync } from "node:child_process";
import { createHash, generateKeyPairSync } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { expect } from "chai";
import { userToken } from "../../src/development/token-issuer.ts";
import type { UserId } from "../../src/domain/users.ts";
import { secretsIn } from "./secrets.ts";

describe("the tree", () => {
  it("contains no secret", async function () {
    this.timeout(60_000);
    const listing = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    const files = execFileSync("git", listing, { encoding: "utf8" })
      .split("\0")
      .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
    expect(files).to.include("test/supply-chain/secrets.test.ts");
    const found: string[] = [];
    for (const file of files) found.push(...(await secretsIn(file, readFileSync(file, "utf8"))));
    expect(found).to.eql([]);
  });
});

describe("the search for secrets", () => {
  const random = createHash("sha256").update("no secret").digest("base64").replace(/\W/g, "x");
  const minting = {
    secret: "x".repeat(32),
    issuer: "test",
    audience: "users",
    serviceAudience: "services",
    hours: 1,
  };
  // Made here, since this file is searched too.
  const planted: Record<string, () => string | Promise<string>> = {
    "a private key": () =>
      generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    "a private RSA key": () =>
      generateKeyPairSync("rsa", { modulusLength: 2048 })
        .privateKey.export({ type: "pkcs1", format: "pem" })
        .toString(),
    "a database's password": () => `DATABASE_URL=postgres://${"app"}:${random}@db.example/privacy`,
    "a password in a URL": () => `https://${"app"}:${random}@example.com/`,
    "an access key of AWS": () => `AKIA${random.slice(0, 16).toUpperCase()}`,
    "a GitHub token": () => `ghp_${random.slice(0, 36)}`,
    "a token": () => userToken("a11ce000-0000-4000-8000-000000000001" as UserId, minting),
  };
  for (const [name, make] of Object.entries(planted)) {
    it(`finds ${name}`, async () => {
      expect(await secretsIn("notes.txt", `before\nkey = "${await make()}"\nafter`)).to.have.length.above(0);
    });
  }

  it("lets placeholders pass", async () => {
    for (const text of ["postgres://app:$PASSWORD@db/privacy", "postgres://...", "Bearer $TOKEN"])
      expect(await secretsIn("notes.txt", text)).to.eql([]);
  });
});
