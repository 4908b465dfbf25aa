import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { UserSchema } from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import { service } from "../../../src/call/service.ts";
import { reflectionServices } from "../../../src/grpc/reflection.ts";
import { aUserId, startTestServer, type TestServer } from "../../support/transport-server.ts";

const run = promisify(execFile);

/** Runs `buf curl`, which learns all that it knows of the service from its reflection. */
async function bufCurl(...args: string[]): Promise<string> {
  const always = ["curl", "--protocol", "grpc", "--http2-prior-knowledge"];
  const { stdout } = await run("node_modules/.bin/buf", [...always, ...args], { timeout: 15_000 });
  return stdout;
}

describe("reflection, asked by buf curl", () => {
  let server: TestServer;
  before(async () => {
    const graph = service(GraphService, {
      getUser: ({ userId }) => ({ user: create(UserSchema, { id: userId, userName: "ada" }) }),
    });
    const files = [GraphService.file, PrivacyControlService.file];
    server = await startTestServer({
      services: [graph, ...reflectionServices(files, new AbortController().signal)],
    });
  });
  after(() => server.stop());

  for (const version of ["grpc-v1", "grpc-v1alpha"]) {
    const reflect = ["--reflect", "--reflect-protocol", version];

    it(`lists the services by ${version}`, async () => {
      const services = await bufCurl(...reflect, "--list-services", server.listener.url);
      expect(services.trim().split("\n")).to.have.members([
        GraphService.typeName,
        PrivacyControlService.typeName,
      ]);
    });

    it(`lists the methods by ${version}`, async () => {
      const methods = await bufCurl(...reflect, "--list-methods", server.listener.url);
      expect(methods).to.contain("nexgate.privacy.v1.GraphService/GetUser");
      expect(methods).to.contain("nexgate.privacy.v1.PrivacyControlService/BlockUser");
    });

    it(`describes enough for a call by ${version}`, async () => {
      const url = `${server.listener.url}/nexgate.privacy.v1.GraphService/GetUser`;
      const data = JSON.stringify({ userId: aUserId });
      const reply = await bufCurl(...reflect, "-H", "authorization: t", "-d", data, url);
      expect(JSON.parse(reply)).to.eql({ user: { id: aUserId, userName: "ada" } });
    });
  }
}).timeout(30_000);
