import { expect } from "chai";
import { variableNames } from "../../src/config/config.ts";
import { compose, object } from "./files.ts";
import { image } from "./image.ts";

const [migration] = object("Job").spec.template.spec.containers;
const [container] = object("Deployment").spec.template.spec.containers;
const { migrate, "privacy-control": service } = compose.services;
const names = (env: readonly { name: string }[]) => env.map(({ name }) => name);

/** The variables that each way of deployment sets for the service. */
const set: Record<string, readonly string[]> = {
  "the image": image.variables,
  "the replicas of Compose": Object.keys(service.environment),
  "the migration of Compose": Object.keys(migrate.environment),
  "the replicas of Kubernetes": [...names(container.env), ...Object.keys(object("ConfigMap").data)],
  "the migration of Kubernetes": names(migration.env),
};

describe("the environment", () => {
  for (const [where, variables] of Object.entries(set)) {
    it(`of ${where} has only variables that the service reads`, () => {
      expect(variables).to.have.length.above(0);
      expect(variables.filter((name) => !variableNames.includes(name))).to.eql([]);
    });
  }

  it("of the health check of the image has only variables that the service reads", () => {
    const [, asked = ""] = /const \{([^}]*)\} = process\.env/.exec(image.healthCheck.join(" ")) ?? [];
    const variables = asked.split(",").map((part) => part.trim().split(" ")[0] ?? "");
    expect(variables).to.have.length(2);
    expect(variables.filter((name) => !variableNames.includes(name))).to.eql([]);
  });
});
