import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { objects } from "./files.ts";

/** Where `kubernetes-types`, made of the published OpenAPI document, has the type of each kind. */
const modules: Record<string, string> = {
  v1: "core/v1",
  "apps/v1": "apps/v1",
  "autoscaling/v2": "autoscaling/v2",
  "batch/v1": "batch/v1",
  "networking.k8s.io/v1": "networking/v1",
  "policy/v1": "policy/v1",
};

/** What the compiler has to say of objects as literals of their types, where no unknown field passes. */
function typeErrors(checked: typeof objects): string {
  // Below the project, so that the types are found.
  mkdirSync("build", { recursive: true });
  const folder = mkdtempSync(join("build", "kubernetes-"));
  try {
    const lines = checked.map((object, index) => {
      const type = `import("kubernetes-types/${modules[object.apiVersion]}").${object.kind}`;
      return `export const object${index}: ${type} = ${JSON.stringify(object, null, 2)};`;
    });
    writeFileSync(join(folder, "objects.ts"), lines.join("\n"));
    writeFileSync(
      join(folder, "tsconfig.json"),
      '{ "compilerOptions": { "strict": true, "noEmit": true, "types": [] } }',
    );
    return spawnSync("npx", ["tsc", "--project", folder], { encoding: "utf8" }).stdout;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("the objects of deploy/kubernetes.yaml", function () {
  this.timeout(60_000);

  it("fits the types of Kubernetes", () => {
    expect(objects).to.have.length.above(5);
    expect(typeErrors(objects)).to.equal("");
  });

  it("would not fit with a field that is unknown, missing or of another type", () => {
    const service = (port: object) => ({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "a" },
      spec: { ports: [port] },
    });
    expect(typeErrors([service({ port: 1 })])).to.equal("");
    for (const port of [{ port: 1, targetPorts: 2 }, { name: "b" }, { port: "1" }])
      expect(typeErrors([service(port)])).to.match(/error TS/);
  });
});
