import { randomUUID } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import { SignJWT } from "jose";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/grpc/health/v1/health_pb.ts";
import { serviceToken, userToken } from "../../src/development/token-issuer.ts";
import type { UserId } from "../../src/domain/users.ts";
import { newKey, startKeyServer } from "../resilience/tokens/key-server.ts";
import { postgresUrl } from "../support/cluster.ts";
import { startService } from "../support/service.ts";

const user = "a11ce000-0000-4000-8000-000000000001";

describe("a service whose keys are published", () => {
  it("is not ready until it has keys, and becomes ready without a call", async () => {
    const key = await newKey("a", "ES256");
    await using server = await startKeyServer([key]);
    server.instead = (response) => response.writeHead(503).end();
    const service = await startService(await postgresUrl(), {
      jwt: {
        secret: undefined,
        jwksUrl: new URL(server.url),
        jwksMaxStaleMs: 3_600_000,
        issuer: "test",
        audience: "users",
        serviceAudience: "services",
        userClaim: "sub",
        scopeClaim: "scope",
        clockToleranceSeconds: 30,
      },
    });
    try {
      const health = createClient(Health, createGrpcTransport({ baseUrl: service.internalUrl }));
      const token = await new SignJWT()
        .setProtectedHeader({ alg: "ES256", kid: "a" })
        .setIssuer("test")
        .setAudience("users")
        .setSubject(user)
        .setExpirationTime("1 hour")
        .sign(key.privateKey);
      const readiness = async () => (await fetch(`${service.publicUrl}/readyz`)).status;
      const call = async () => (await service.rest("GET", "/users/me/privacy", { token })).status;
      expect(await readiness()).to.equal(503);
      expect((await health.check({})).status).to.equal(Status.NOT_SERVING);
      expect(await call()).to.equal(503);
      expect((await fetch(`${service.publicUrl}/healthz`)).status).to.equal(200);
      server.instead = undefined;
      const statuses = health.watch({});
      for await (const { status } of statuses) if (status === Status.SERVING) break;
      expect(await readiness()).to.equal(200);
      // The user is unknown, which is found out once the token is verified.
      expect(await call()).to.equal(401);
    } finally {
      await service.stop(0);
    }
  });
});

describe("a service whose issuer names claims otherwise", () => {
  it("takes the user and the scopes from the configured claims", async () => {
    const jwt = {
      secret: "the secret that signs tokens in tests",
      jwksUrl: undefined,
      jwksMaxStaleMs: 0,
      issuer: "test",
      audience: "users",
      serviceAudience: "services",
      userClaim: "uid",
      scopeClaim: "scp",
      clockToleranceSeconds: 30,
    };
    const service = await startService(await postgresUrl(), { jwt });
    try {
      const minting = { ...jwt, hours: 1 };
      const id = randomUUID() as UserId;
      const headers = { authorization: await serviceToken("accounts", "graph.write", minting) };
      await service.graph.upsertUsers({ users: [{ id, userName: "alice" }] }, { headers });
      const read = async (token: string) =>
        (await service.rest("GET", "/users/me/privacy", { token })).status;
      expect(await read(await userToken(id, minting))).to.equal(200);
      expect(await read(await userToken(id, { ...minting, userClaim: "sub" }))).to.equal(401);
    } finally {
      await service.stop(0);
    }
  });
});
