import type { DescMethodUnary } from "@bufbuild/protobuf";
import { createHandlerContext } from "@connectrpc/connect";
import { expect } from "chai";
import { Health } from "../../../../gen/grpc/health/v1/health_pb.ts";
import { GraphService } from "../../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import {
  type Authenticator,
  actorKey,
  principalKey,
  scopeOf,
  serviceAuthenticator,
  userAuthenticator,
} from "../../../../src/call/auth/authenticator.ts";
import { PrivacyError } from "../../../../src/domain/errors.ts";

const user = "A11CE000-0000-4000-8000-000000000001";
const methods = [...PrivacyControlService.methods, ...GraphService.methods] as DescMethodUnary[];
const none = new Set<string>();
const scopes = ["users.act", "access.explain", "access.read", "graph.read", "graph.write"];

function contextOf(method: DescMethodUnary, requestHeader: Record<string, string> = {}) {
  return createHandlerContext({
    service: method.parent,
    method,
    protocolName: "grpc",
    requestMethod: "POST",
    url: "/",
    requestHeader,
  });
}

async function outcome(gate: Authenticator, context: ReturnType<typeof contextOf>): Promise<string> {
  try {
    await gate(context);
    return "admitted";
  } catch (failure) {
    if (failure instanceof PrivacyError) return failure.reason;
    throw failure;
  }
}

describe("the authenticators", () => {
  for (const method of methods) {
    const needed = scopeOf(method);
    for (const held of [
      "",
      ...scopes,
      scopes.filter((scope) => scope !== needed).join(" "),
      scopes.join(" "),
    ]) {
      const expected = held.split(" ").includes(needed) ? "admitted" : "SCOPE_MISSING";
      it(`${method.parent.name}.${method.name}: a service with "${held}" is ${expected}`, async () => {
        const claims = { subject: "feed", scopes: new Set(held.split(" ")) };
        for (const gate of [serviceAuthenticator(() => claims), serviceAuthenticator(async () => claims)]) {
          const context = contextOf(method, { "x-acting-user": user });
          expect(await outcome(gate, context)).to.equal(expected);
          expect(context.values.get(principalKey)).to.include({ kind: "service", name: "feed" });
          if (expected === "SCOPE_MISSING") expect(context.values.get(actorKey)).to.equal(undefined);
        }
      });
    }
    const expected = needed === "users.act" ? "admitted" : "SCOPE_MISSING";
    it(`${method.parent.name}.${method.name}: a user is ${expected}`, async () => {
      for (const gate of [
        userAuthenticator(() => ({ subject: user, scopes: none })),
        userAuthenticator(async () => ({ subject: user, scopes: none })),
      ])
        expect(await outcome(gate, contextOf(method))).to.equal(expected);
    });
  }

  it("admit a call at once whose token is known", () => {
    const { blockUser } = PrivacyControlService.method;
    expect(userAuthenticator(() => ({ subject: user, scopes: none }))(contextOf(blockUser))).to.equal(
      undefined,
    );
    expect(userAuthenticator(async () => ({ subject: user, scopes: none }))(contextOf(blockUser))).to.be.a(
      "promise",
    );
  });

  it("require a scope of every method, and refuse to serve one without", () => {
    for (const method of methods) expect(scopes).to.include(scopeOf(method));
    expect(() => scopeOf(Health.method.check)).to.throw("has no (nexgate.auth.v1.scope)");
  });

  it("take the acting user from the subject of a user's token, in lower case", async () => {
    const context = contextOf(PrivacyControlService.method.blockUser, { "x-acting-user": "someone else" });
    await userAuthenticator(async () => ({ subject: user, scopes: none }))(context);
    expect(context.values.get(actorKey)).to.eql({ id: user.toLowerCase(), whenUnknown: "TOKEN_INVALID" });
  });

  it("refuse a user whose subject is no UUID", async () => {
    const gate = userAuthenticator(async () => ({ subject: "alice", scopes: none }));
    expect(await outcome(gate, contextOf(PrivacyControlService.method.blockUser))).to.equal("TOKEN_INVALID");
  });

  it("take the acting user of a service from x-acting-user, and want a UUID there", async () => {
    const gate = serviceAuthenticator(async () => ({ subject: "feed", scopes: new Set(["users.act"]) }));
    const context = contextOf(PrivacyControlService.method.blockUser, { "x-acting-user": user });
    await gate(context);
    expect(context.values.get(actorKey)).to.eql({ id: user.toLowerCase(), whenUnknown: "USER_NOT_FOUND" });
    for (const header of [{}, { "x-acting-user": "" }, { "x-acting-user": "alice" }]) {
      const refused = await outcome(gate, contextOf(PrivacyControlService.method.blockUser, header));
      expect(refused).to.equal("INVALID_ACTING_USER");
    }
  });

  it("give no acting user to a method that acts for none", async () => {
    const context = contextOf(GraphService.method.followUser, { "x-acting-user": user });
    await serviceAuthenticator(async () => ({ subject: "accounts", scopes: new Set(["graph.write"]) }))(
      context,
    );
    expect(context.values.get(actorKey)).to.equal(undefined);
  });
});
