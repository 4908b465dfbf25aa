import { readFileSync } from "node:fs";
import { expect } from "chai";
import { isAllowed } from "./licences.ts";
import { installedManifest, lockedPackages, manifest } from "./lockfile.ts";

const { dependencies, devDependencies, optionalDependencies, overrides = {} } = manifest;
const exact = /^\d+\.\d+\.\d+(-[\w.]+)?$/;

describe("the packages that are used", () => {
  it("are named in their exact versions", () => {
    const named = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies });
    expect(named.filter(([, version]) => !exact.test(String(version)))).to.eql([]);
    for (const version of JSON.stringify(overrides).matchAll(/:"([^"]*)"/g))
      expect(version[1]).to.match(exact);
  });

  it("are the same in the example, with the client that is packed here", () => {
    const example = JSON.parse(readFileSync("examples/feed/package.json", "utf8"));
    const client = JSON.parse(readFileSync("client/package.json", "utf8"));
    const { [client.name]: packed, ...others } = example.dependencies;
    expect(packed).to.equal(`file:../../dist/nexgate-privacy-control-client-${client.version}.tgz`);
    expect({ ...dependencies, ...devDependencies }).to.include(others);
  });

  it("are locked with a checksum, and from no particular registry", () => {
    expect(lockedPackages).to.have.length.above(100);
    const loose = lockedPackages.filter(({ integrity, resolved }) => !integrity || resolved);
    expect(loose.map(({ path }) => path)).to.eql([]);
  });

  it("are all under licences of the list", () => {
    const refused = lockedPackages
      .filter((locked) => {
        const licence = installedManifest(locked)?.license ?? locked.license;
        return !isAllowed(locked.license, locked) || !isAllowed(licence, locked);
      })
      .map(({ path, license }) => `${path}: ${license}`);
    expect(refused).to.eql([]);
  });

  it("run nothing of their own when they are installed", () => {
    expect(readFileSync(".npmrc", "utf8")).to.match(/^ignore-scripts=true$/m);
  });

  it("run on one version of Node, whatever the platform", () => {
    expect(new Set(Object.values(optionalDependencies))).to.have.property("size", 1);
  });
});

describe("the list of licences", () => {
  const cases: [licence: string | undefined, shipped: boolean, inDevelopment: boolean][] = [
    ["MIT", true, true],
    ["(Apache-2.0 AND BSD-3-Clause)", true, true],
    ["(GPL-3.0-only OR MIT)", true, true],
    ["PSF-2.0", false, true],
    ["MPL-2.0", false, true],
    ["(MIT AND GPL-3.0-only)", false, false],
    ["AGPL-3.0-only", false, false],
    ["SSPL-1.0", false, false],
    ["UNLICENSED", false, false],
    ["SEE LICENSE IN LICENSE", false, false],
    [undefined, false, false],
  ];
  for (const [licence, shipped, inDevelopment] of cases) {
    it(`${shipped ? "takes" : "refuses"} ${licence}${shipped === inDevelopment ? "" : ", but for tools"}`, () => {
      expect(isAllowed(licence, {})).to.equal(shipped);
      expect(isAllowed(licence, { dev: true })).to.equal(inDevelopment);
    });
  }
});

describe("the licence of the service", () => {
  it("is the same wherever it is named", () => {
    const client = JSON.parse(readFileSync("client/package.json", "utf8"));
    expect([manifest.license, client.license]).to.eql(["Apache-2.0", "Apache-2.0"]);
    expect(readFileSync("LICENSE", "utf8")).to.match(/^\s*Apache License\s+Version 2\.0/);
  });
});
