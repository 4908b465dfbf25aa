import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { credentials, status } from "@grpc/grpc-js";
import { expect } from "chai";
import {
  AccessService,
  CheckAccessRequestSchema,
  type CheckAccessResponse,
  CheckAccessResponseSchema,
  Effect,
  Interaction,
} from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { AccessClient, callMetadata } from "../../src/client/grpc-js.ts";
import { GrpcClient } from "../support/grpc-client.ts";
import { isNeeded } from "../support/programs.ts";
import { findPython } from "../support/python.ts";
import { scrape } from "../support/scrape.ts";
import { startService, type TestService } from "../support/service.ts";
import { canStartServer, startThrowawayServer, type ThrowawayServer } from "../support/throwaway-server.ts";

const [alice, bob] = ["a11ce000-0000-4000-8000-000000000001", "b0b00000-0000-4000-8000-000000000002"];
const question = {
  viewer: { case: "viewerId", value: alice },
  ownerId: bob,
  interaction: Interaction.FOLLOW,
} as const;
const { checkAccess } = AccessService.method;

/** The service config of the client package, with pauses that outlast the restart of a database on a busy machine. */
const patient = readFileSync("client/service-config.json", "utf8")
  .replace(/"maxAttempts": \d+/, '"maxAttempts": 5')
  .replace(/"initialBackoff": "[\d.]+s"/, '"initialBackoff": "1s"')
  .replace(/"maxBackoff": "[\d.]+s"/, '"maxBackoff": "10s"')
  .replace(/"backoffMultiplier": [\d.]+/, '"backoffMultiplier": 2');

describe("gRPC clients with the documented service config", function () {
  this.timeout(120_000);
  let database: ThrowawayServer;
  let service: TestService;
  let python: string;
  let token: string;
  let authorization: string;
  before(async function () {
    if (!canStartServer()) return this.skip();
    python = isNeeded("python3-grpcio", await findPython("grpc")) ?? this.skip();
    database = await startThrowawayServer();
    service = await startService(database.url);
    token = await service.serviceToken();
    authorization = `Bearer ${token}`;
    const users = [alice, bob].map((id) => ({ id, userName: id }));
    await service.graph.upsertUsers({ users }, await service.acting());
    await service.rest("POST", `/api/v1/e-social/privacy-control/block/${bob}`, { as: alice });
  });
  after(async () => {
    await service?.stop(1_000);
    await database?.stop();
  });

  const refusedCalls = async () =>
    (await scrape(service.adminUrl)).value("privacy_control_calls_total", {
      method: `${AccessService.typeName}/${checkAccess.name}`,
      protocol: "grpc",
      code: "unavailable",
    }) ?? 0;

  async function byGrpcJs(serviceConfig: string): Promise<Effect> {
    const { host } = new URL(service.internalUrl);
    const client = new AccessClient(host, credentials.createInsecure(), {
      "grpc.service_config": serviceConfig,
    });
    const metadata = callMetadata({ token });
    const reply = await new Promise<CheckAccessResponse>((resolve, reject) => {
      client.checkAccess(question, metadata, (error, answer) => (error ? reject(error) : resolve(answer)));
    }).finally(() => client.close());
    return reply.effect;
  }

  async function byGrpcio(serviceConfig: string): Promise<Effect> {
    const script = new URL("retry.py", import.meta.url).pathname;
    const child = spawn(python, [script], { stdio: ["pipe", "pipe", "inherit"] });
    const message = toBinary(CheckAccessRequestSchema, create(CheckAccessRequestSchema, question));
    child.stdin.end(
      JSON.stringify({
        target: new URL(service.internalUrl).host,
        path: `/${AccessService.typeName}/${checkAccess.name}`,
        message: Buffer.from(message).toString("base64"),
        serviceConfig,
        authorization,
      }),
    );
    const [answer] = await Promise.all([text(child.stdout), once(child, "exit")]);
    if (answer.trim() in status) throw new Error(answer.trim());
    return fromBinary(CheckAccessResponseSchema, Buffer.from(answer, "base64")).effect;
  }

  it("get their answer across a restart of the database, by grpc-js and by grpcio", async () => {
    const withoutRetries = { "grpc.enable_retries": 0 };
    const impatient = new GrpcClient(service.internalUrl, withoutRetries);
    process.kill(database.pid(), "SIGKILL");
    for (let code = 0; code !== status.UNAVAILABLE; ) {
      code = (await impatient.start(checkAccess, question, { authorization }).status).code;
    }
    impatient.close();
    const before = await refusedCalls();
    const answers: Promise<Effect>[] = [];
    // Python takes a while to start: first.
    for (const [index, call] of [byGrpcio, byGrpcJs].entries()) {
      answers.push(call(patient));
      while ((await refusedCalls()) <= before + index) await new Promise(setImmediate);
    }
    await database.restart();
    expect(await Promise.all(answers)).to.eql([Effect.DENY, Effect.DENY]);
  });
});
