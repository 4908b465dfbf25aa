import { once } from "node:events";
import { connect } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import { HealthCheckRequestSchema } from "../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflectionRequestSchema } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ImportEdgesRequestSchema } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { lengthPrefixed } from "../support/frames.ts";
import { openSession } from "../support/raw-http.ts";
import { scrape } from "../support/scrape.ts";
import { startService, type TestService } from "../support/service.ts";

const question = create(ServerReflectionRequestSchema, {
  messageRequest: { case: "listServices", value: "" },
});
const first = create(ImportEdgesRequestSchema, { importId: "99999999-9999-4999-8999-999999999999" });

const streams = {
  "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": toBinary(
    ServerReflectionRequestSchema,
    question,
  ),
  "grpc.health.v1.Health/Watch": toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema)),
  "nexgate.privacy.v1.GraphService/ImportEdges": toBinary(ImportEdgesRequestSchema, first),
};

describe("a client that disconnects during a stream", () => {
  let service: TestService;
  before(async () => {
    service = await startService();
  });
  after(() => service.stop(0));

  for (const [method, message] of Object.entries(streams)) {
    it(`has cancelled ${method}: that is no fault of the service`, async () => {
      const session = openSession(service.internalUrl);
      const stream = session.request({
        ":method": "POST",
        ":path": `/${method}`,
        "content-type": "application/grpc",
        te: "trailers",
        authorization: `Bearer ${await service.serviceToken()}`,
      });
      stream.on("error", () => {});
      stream.write(lengthPrefixed(Buffer.from(message)));
      const inFlight = async (count: number) => {
        while ((await scrape(service.adminUrl)).value("privacy_control_calls_in_flight") !== count);
      };
      await inFlight(1);
      session.destroy();
      await once(session, "close");
      await inFlight(0);
      const labels = { method, protocol: "grpc" };
      const scraped = await scrape(service.adminUrl);
      const ended = (code: string) => scraped.value("privacy_control_calls_total", { ...labels, code });
      expect(ended("canceled")).to.equal(1);
      expect(ended("internal")).to.equal(undefined);
    });
  }
});

describe("a client that disconnects while it sends a request over HTTP/1.1", () => {
  let service: TestService;
  before(async () => {
    service = await startService();
  });
  after(() => service.stop(0));

  for (const [protocol, contentType] of [
    ["connect", "application/proto"],
    ["grpc_web", "application/grpc-web+proto"],
  ] as const)
    it(`has cancelled its call by ${protocol}`, async () => {
      const method = "nexgate.privacy.v1.GraphService/GetUser";
      const { hostname, port } = new URL(service.internalUrl);
      const socket = connect(Number(port), hostname);
      socket.write(
        [
          `POST /${method} HTTP/1.1`,
          "Host: localhost",
          `Content-Type: ${contentType}`,
          `Authorization: Bearer ${await service.serviceToken()}`,
          "Content-Length: 100",
          "",
          "\0\0",
        ].join("\r\n"),
      );
      const inFlight = async (count: number) => {
        while ((await scrape(service.adminUrl)).value("privacy_control_calls_in_flight") !== count);
      };
      await inFlight(1);
      socket.destroy();
      await inFlight(0);
      const scraped = await scrape(service.adminUrl);
      expect(scraped.value("privacy_control_calls_total", { method, protocol, code: "canceled" })).to.equal(
        1,
      );
    });
});
