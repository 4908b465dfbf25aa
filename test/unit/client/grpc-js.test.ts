import { globSync, readFileSync } from "node:fs";
import type { DescService } from "@bufbuild/protobuf";
import { Client } from "@grpc/grpc-js";
import { expect } from "chai";
import * as clients from "../../../src/client/grpc-js.ts";
import * as root from "../../../src/client/index.ts";

const exported: readonly unknown[] = Object.values(root);
const services = exported.filter(
  (value): value is DescService =>
    typeof value === "object" && value !== null && "kind" in value && value.kind === "service",
);
const constructors = [
  clients.AccessClient,
  clients.ChangeClient,
  clients.GraphClient,
  clients.PrivacyControlClient,
];

describe("the clients for grpc-js", () => {
  it("are one for each service of the definitions", () => {
    const defined = globSync("proto/nexgate/privacy/v1/*.proto").flatMap((path) =>
      [...readFileSync(path, "utf8").matchAll(/^service (\w+)/gm)].map(([, name]) => name),
    );
    expect(services.map(({ name }) => name)).to.have.members(defined);
    expect(constructors.map(({ serviceName }) => serviceName)).to.have.members(
      services.map(({ typeName }) => typeName),
    );
  });

  for (const { typeName, methods } of services) {
    it(`have every method of ${typeName}, with its path and kind`, () => {
      const Constructor = constructors.find(({ serviceName }) => serviceName === typeName);
      const definitions = Object.entries(Constructor?.service ?? {});
      expect(
        definitions.map(([name, { path, requestStream, responseStream }]) => [
          name,
          path,
          requestStream,
          responseStream,
        ]),
      ).to.eql(
        methods.map(({ localName, name, methodKind }) => [
          localName,
          `/${typeName}/${name}`,
          methodKind === "client_streaming",
          methodKind === "server_streaming",
        ]),
      );
      expect(Constructor?.prototype).to.be.instanceOf(Client);
    });
  }
});

describe("the service config", () => {
  it("repeats the calls of every service", () => {
    const { methodConfig } = JSON.parse(readFileSync("client/service-config.json", "utf8"));
    expect(methodConfig[0].name).to.have.deep.members(
      services.map(({ typeName }) => ({ service: typeName })),
    );
  });
});
