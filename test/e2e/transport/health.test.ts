import { once } from "node:events";
import { type ServiceError, status } from "@grpc/grpc-js";
import { expect } from "chai";
import {
  Health,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as Status,
} from "../../../gen/grpc/health/v1/health_pb.ts";
import { HealthState, healthService } from "../../../src/grpc/health.ts";
import { GrpcClient } from "../../support/grpc-client.ts";
import { startTestServer, type TestServer } from "../../support/transport-server.ts";

describe("health, asked by @grpc/grpc-js", () => {
  let state: HealthState;
  let server: TestServer;
  let client: GrpcClient;
  beforeEach(async () => {
    state = new HealthState(["a.Service"]);
    server = await startTestServer({ services: [healthService(state)] });
    client = new GrpcClient(server.listener.url);
  });
  afterEach(async () => {
    client.close();
    await server.stop();
  });

  const check = async (service: string) =>
    (await client.start(Health.method.check, { service }).reply).status;

  it("checks the server and each service, without a token", async () => {
    expect([await check(""), await check("a.Service")]).to.eql([Status.SERVING, Status.SERVING]);
    state.setServing(false);
    expect([await check(""), await check("a.Service")]).to.eql([Status.NOT_SERVING, Status.NOT_SERVING]);
  });

  it("answers NOT_FOUND for an unknown service", async () => {
    const error = await check("b.Service").catch((failure: ServiceError) => failure);
    expect(error).to.include({ code: status.NOT_FOUND });
  });

  it("lists all services", async () => {
    const { statuses } = await client.start(Health.method.list, {}).reply;
    const names = Object.entries(statuses).map(([name, { status }]) => [name, status]);
    expect(names).to.eql([
      ["", Status.SERVING],
      ["a.Service", Status.SERVING],
    ]);
  });

  it("watches until the service stops, and ends with OK", async () => {
    const watch = client.watch(Health.method.watch, { service: "a.Service" });
    const next = async () => ((await once(watch, "data")) as [HealthCheckResponse])[0].status;
    expect(await next()).to.equal(Status.SERVING);
    const changed = next();
    state.setServing(false);
    expect(await changed).to.equal(Status.NOT_SERVING);
    const back = next();
    state.setServing(true);
    expect(await back).to.equal(Status.SERVING);
    const last = next();
    state.stop();
    expect(await last).to.equal(Status.NOT_SERVING);
    state.setServing(true);
    expect(await check("a.Service")).to.equal(Status.NOT_SERVING);
    const late = client.watch(Health.method.watch, { service: "" });
    expect((await once(late, "data"))[0].status).to.equal(Status.NOT_SERVING);
    const ends = [once(watch, "status"), once(late, "status")];
    state.end();
    for (const [{ code }] of await Promise.all(ends)) expect(code).to.equal(status.OK);
    await server.listener.close(10_000);
  });

  it("watches an unknown service", async () => {
    const watch = client.watch(Health.method.watch, { service: "b.Service" });
    watch.on("error", () => {});
    const [message] = (await once(watch, "data")) as [HealthCheckResponse];
    expect(message.status).to.equal(Status.SERVICE_UNKNOWN);
    watch.cancel();
  });

  it("ends a watch whose client has disconnected", async () => {
    const watch = client.watch(Health.method.watch, { service: "" });
    watch.on("error", () => {});
    await once(watch, "data");
    watch.cancel();
    while (server.lines.length === 0) await new Promise(setImmediate);
    expect(server.lines.map(({ level }) => level)).to.eql([30]);
  });
});
