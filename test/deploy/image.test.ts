import { readFileSync } from "node:fs";
import { expect } from "chai";
import { manifest } from "../supply-chain/lockfile.ts";
import { compose, object } from "./files.ts";
import { image } from "./image.ts";

describe("deploy/Dockerfile", () => {
  it("has the Node of package.json", () => {
    const [version] = new Set(Object.values(manifest.optionalDependencies));
    for (const { from } of image.stages) expect(from).to.equal(`node:${version}-slim`);
  });

  it("sends only the copied files to the build", () => {
    const [everything, ...allowed] = readFileSync(".dockerignore", "utf8").trim().split("\n");
    expect(everything).to.equal("*");
    const copied = image.stages.flatMap(({ copies }) =>
      copies.filter(({ stage }) => stage === undefined).flatMap(({ sources }) => sources),
    );
    expect(allowed.map((line) => line.replace("!", ""))).to.have.members([...new Set(copied)]);
  });

  it("runs as a numeric user, not as root", () => {
    expect(image.user).to.match(/^[1-9]\d*:[1-9]\d*$/);
  });

  it("starts the service as npm start does", () => {
    expect(image.command.join(" ")).to.equal(manifest.scripts.start?.replace(/^exec /, ""));
  });

  it("is the one that is deployed", () => {
    const { migrate, "privacy-control": service } = compose.services;
    const [migration] = object("Job").spec.template.spec.containers;
    const [container] = object("Deployment").spec.template.spec.containers;
    const deployed = [migrate, service, migration, container];
    const tag = `privacy-control:${manifest.version}`;
    expect(deployed.map((item) => item.image)).to.eql([tag, tag, tag, tag]);
    expect(migrate.build).to.eql({ context: "..", dockerfile: "deploy/Dockerfile" });
    expect(migration.command).to.eql(migrate.command);
  });
});
