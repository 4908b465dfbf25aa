import { readFileSync } from "node:fs";
import { expect } from "chai";
import { runScript } from "../support/process.ts";
import { isAllowed } from "./licences.ts";
import { lockedPackages } from "./lockfile.ts";

interface Component {
  readonly "bom-ref": string;
  readonly name: string;
  readonly version: string;
  readonly hashes: readonly unknown[];
  readonly licenses: readonly { readonly license?: { readonly id: string }; readonly expression?: string }[];
}

describe("npm run sbom", function () {
  this.timeout(60_000);

  it("lists every package that production uses, with checksum and licence, and no other", async () => {
    const run = runScript("sbom", {});
    expect(await run.exited, run.output()).to.equal(0);
    const { bomFormat, components, dependencies } = JSON.parse(readFileSync("dist/sbom.json", "utf8"));
    expect(bomFormat).to.equal("CycloneDX");
    const used = lockedPackages.filter(({ dev }) => !dev).map(({ name, version }) => `${name}@${version}`);
    const listed = (components as Component[]).map(({ name, version }) => `${name}@${version}`);
    expect(listed).to.have.members(used);
    const refs = (components as Component[]).map((component) => component["bom-ref"]);
    for (const { dependsOn } of dependencies) expect(refs).to.include.members(dependsOn);
    for (const { name, hashes, licenses } of components as Component[]) {
      expect(hashes, name).to.have.length(1);
      const [licence] = licenses;
      expect(isAllowed(licence?.expression ?? licence?.license?.id, {}), name).to.equal(true);
    }
  });
});
