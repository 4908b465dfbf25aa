import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { expect } from "chai";
import { pino } from "pino";
import {
  BlockUserRequestSchema,
  PrivacyControlService,
} from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { actorKey } from "../../../src/call/auth/authenticator.ts";
import { CallPipeline, type Transport } from "../../../src/call/pipeline.ts";
import { RateLimiter } from "../../../src/call/rate-limits/rate-limiter.ts";
import { RateLimits } from "../../../src/call/rate-limits/rate-limits.ts";
import { service } from "../../../src/call/service.ts";
import { PrivacyError } from "../../../src/domain/errors.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { AdaptiveConcurrencyLimiter } from "../../../src/overload/adaptive-concurrency-limiter.ts";

const userId = "999e9999-e99b-99d9-a999-999999999999" as UserId;
const method = PrivacyControlService.method.blockUser;
type Step =
  | "admit"
  | "start"
  | "begin"
  | "authenticate"
  | "take slots"
  | "read"
  | "validate"
  | "handle"
  | "reply"
  | "log"
  | "release slots"
  | "write"
  | "fail"
  | "reject";

/** Runs a call in which one step fails. Returns the steps in their order, and the codes in the log. */
async function run(failing?: Step, { writes = 10 } = {}): Promise<{ steps: Step[]; codes: unknown[] }> {
  const steps: Step[] = [];
  const codes: unknown[] = [];
  const step = (name: Step) => {
    steps.push(name);
    if (name === failing) throw new PrivacyError("USER_NOT_FOUND");
  };
  const log = pino(
    { level: "info" },
    {
      write: (line: string) => {
        steps.push("log");
        codes.push(JSON.parse(line).code);
      },
    },
  );
  const blockUser = () => {
    step("handle");
    return {};
  };
  const calls = new CallPipeline({
    services: [
      service(
        PrivacyControlService,
        { blockUser },
        {
          isOverloaded: () => {
            steps.push("admit");
            return failing === "admit";
          },
        },
      ),
    ],
    authenticate: ({ values }) => {
      step("authenticate");
      values.set(actorKey, { id: userId, whenUnknown: "USER_NOT_FOUND" });
    },
    rateLimits: new RateLimits({
      writes: writes === 0 ? exhausted() : undefined,
      addressOf: () => "",
    }),
    takeSlots: (_context, onEnd) => {
      step("take slots");
      onEnd(() => steps.push("release slots"));
    },
    log,
  });
  const transport: Transport = {
    protocol: "rest",
    rejectOverloaded: () => steps.push("reject"),
    start: () => {
      step("start");
      return { requestMethod: "POST", url: "/", requestHeader: {}, peer: () => undefined };
    },
    begin: () => step("begin"),
    read: async () => {
      step("read");
      return create(BlockUserRequestSchema, {
        userId: failing === "validate" ? "x" : userId,
      }) as MessageShape<DescMessage>;
    },
    reply: () => {
      step("reply");
      return () => steps.push("write");
    },
    fail: () => {
      steps.push("fail");
      return () => steps.push("write");
    },
  };
  const endpoint = calls.unary(`/${PrivacyControlService.typeName}/BlockUser`);
  if (endpoint === undefined) throw new Error(`${method} is not served`);
  await calls.run(endpoint, transport);
  return { steps, codes };
}

/** A rate limiter that allows nothing more. */
function exhausted(): RateLimiter {
  const limiter = new RateLimiter({ name: "writes", perMinute: 1, burst: 1 });
  limiter.take(userId);
  return limiter;
}

describe("the call pipeline", () => {
  const before: Step[] = ["admit", "start", "begin"];
  const ended: Step[] = ["log", "write"];
  const endedWithSlots: Step[] = ["release slots", "log", "write"];

  it("runs the steps of a call in their order, and writes after its end", async () => {
    expect(await run()).to.eql({
      steps: [...before, "authenticate", "take slots", "read", "handle", "reply", ...endedWithSlots],
      codes: ["ok"],
    });
  });

  it("rejects a call of an overloaded service before any other step", async () => {
    expect(await run("admit")).to.eql({ steps: ["admit", "reject"], codes: [] });
  });

  const failures: [Step, Step[], string][] = [
    ["authenticate", ["authenticate", "fail", ...ended], "not_found"],
    ["take slots", ["authenticate", "take slots", "fail", ...ended], "not_found"],
    ["read", ["authenticate", "take slots", "read", "fail", ...endedWithSlots], "not_found"],
    ["validate", ["authenticate", "take slots", "read", "fail", ...endedWithSlots], "invalid_argument"],
    ["handle", ["authenticate", "take slots", "read", "handle", "fail", ...endedWithSlots], "not_found"],
    [
      "reply",
      ["authenticate", "take slots", "read", "handle", "reply", "fail", ...endedWithSlots],
      "not_found",
    ],
  ];
  for (const [step, after, code] of failures)
    it(`ends a call that fails at "${step}" once, with the failure as its outcome`, async () => {
      expect(await run(step)).to.eql({ steps: [...before, ...after], codes: [code] });
    });

  it("counts a call against its caller's rate before it takes a slot or reads the body", async () => {
    expect(await run(undefined, { writes: 0 })).to.eql({
      steps: [...before, "authenticate", "fail", ...ended],
      codes: ["resource_exhausted"],
    });
  });
});

describe("the admission of a call", () => {
  it("holds no slot for a token whose check waits for the key server", async () => {
    const log = pino({ level: "silent" });
    const limiter = new AdaptiveConcurrencyLimiter(1, log);
    const keys = Promise.withResolvers<void>();
    const calls = new CallPipeline({
      services: [service(PrivacyControlService, {})],
      authenticate: () => keys.promise,
      limiter,
      log,
    });
    const method = PrivacyControlService.method.getPrivacySettings;
    expect(calls.tryAdmit(method, "rest")).to.equal(true);
    const start = { requestMethod: "GET", url: "/", requestHeader: {}, peer: () => undefined };
    const call = calls.begin(calls.newContext({ kind: "unary", method, impl: () => ({}) }, "rest", start));
    const authenticated = calls.authenticate(call);
    expect(calls.tryAdmit(method, "rest")).to.equal(false);
    while (!calls.tryAdmit(method, "rest")) await new Promise(setImmediate);
    keys.resolve();
    await authenticated;
    call.end();
  });
});
