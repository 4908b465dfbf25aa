import { randomUUID } from "node:crypto";
import type { DescMethod, DescMethodStreaming, DescMethodUnary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { type PrivacySetting, PrivacySettingSchema } from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import { callersOf } from "../support/callers.ts";
import type { Instance } from "../support/instance.ts";
import { restRequests } from "../support/method-requests.ts";
import { followerOf, methods, nameOf, requestOf, requiredScopes } from "../support/methods.ts";
import { register } from "../support/users.ts";

/** What a whole matrix came to. */
export interface Matrix {
  readonly calls: number;
  /** Every answer that is not the one of its row. */
  readonly unexpected: readonly string[];
}

const listeners = ["public", "internal"] as const;
const timeoutMs = 10_000;

/** Calls every method and route, on both listeners and in every protocol, as every kind of caller. */
export async function tryEverything(instance: Instance): Promise<Matrix> {
  const [user, other, target] = [randomUUID(), randomUUID(), randomUUID()];
  const baseUrls = { public: instance.publicUrl, internal: instance.internalUrl };
  const transports = transportsTo(baseUrls);
  await register(instance.internalUrl, await instance.serviceToken(), [
    user,
    other,
    target,
    followerOf(target),
  ]);
  const unexpected: string[] = [];
  let calls = 0;
  const expect = async (what: string, wanted: string, answer: Promise<string>) => {
    const got = await answer;
    calls++;
    // A second block fails, but its caller was authorized.
    if (got !== wanted && !(wanted === "OK" && got === "AlreadyExists"))
      unexpected.push(`${what}: ${got}, not ${wanted}`);
  };

  const before = await stateOf(instance, other);
  for (const method of methods) {
    const name = nameOf(method);
    const scope = requiredScopes[name] ?? null;
    const answers: Promise<void>[] = [];
    for (const caller of await callersOf(instance, scope ?? "", user, other)) {
      const { who, headers } = caller;
      for (const listener of listeners) {
        const served = listener === "internal" || method.parent === PrivacyControlService;
        const wanted = served ? (scope === null ? "OK" : caller[listener]) : "Unimplemented";
        for (const [protocol, transport] of Object.entries(transports)) {
          // HTTP/1.1 carries no stream in both directions.
          if (protocol.endsWith("1.1") && method.methodKind === "bidi_streaming") continue;
          const answer = call(transport[listener], method, target, headers);
          answers.push(expect(`${who}, ${name} by ${protocol}, ${listener}`, wanted, answer));
        }
        for (const { verb, path, body } of restRequests(method, target)) {
          const wanted = listener === "internal" ? "Unimplemented" : caller.public;
          const answer = rest(baseUrls[listener] + path, verb, headers, body);
          answers.push(expect(`${who}, ${verb} ${path}, ${listener}`, wanted, answer));
        }
      }
    }
    await Promise.all(answers);
  }
  const after = await stateOf(instance, other);
  if (after !== before) unexpected.push(`what another user has became ${after}`);
  return { calls, unexpected };
}

type Listeners<Value> = Record<(typeof listeners)[number], Value>;

function transportsTo(baseUrls: Listeners<string>): Record<string, Listeners<Transport>> {
  const both = (open: (baseUrl: string) => Transport) => ({
    public: open(baseUrls.public),
    internal: open(baseUrls.internal),
  });
  return {
    gRPC: both((baseUrl) => createGrpcTransport({ baseUrl })),
    "gRPC-Web": both((baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "2" })),
    Connect: both((baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" })),
    "Connect over HTTP/1.1": both((baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" })),
  };
}

/** Calls a method of any kind, and returns the code of its answer. */
async function call(
  transport: Transport,
  method: DescMethod,
  target: string,
  headers: Record<string, string>,
): Promise<string> {
  const abort = new AbortController();
  const { signal } = abort;
  const request = requestOf(method, target);
  try {
    if (method.methodKind === "unary") {
      await transport.unary(method as DescMethodUnary, signal, timeoutMs, headers, request);
      return "OK";
    }
    const streaming = method as DescMethodStreaming;
    const requests = (async function* () {
      yield request;
    })();
    const { message } = await transport.stream(streaming, signal, timeoutMs, headers, requests);
    for await (const _answer of message) break;
    return "OK";
  } catch (failure) {
    return Code[ConnectError.from(failure).code];
  } finally {
    // A watch would go on for ever.
    abort.abort();
  }
}

const codes: Record<number, string> = { 200: "OK", 401: "Unauthenticated", 404: "Unimplemented" };

async function rest(url: string, method: string, headers: Record<string, string>, json: object | undefined) {
  const request =
    json === undefined
      ? { headers }
      : { headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify(json) };
  const response = await fetch(url, { method, ...request });
  const text = await response.text();
  return text.includes("User already") ? "AlreadyExists" : (codes[response.status] ?? `${response.status}`);
}

/** All that a user owns, as the user sees it. */
async function stateOf(instance: Instance, user: string): Promise<string> {
  const client = createClient(PrivacyControlService, createGrpcTransport({ baseUrl: instance.publicUrl }));
  const options = { headers: { authorization: `Bearer ${await instance.userToken(user)}` } };
  const settings = PrivacySettingSchema.values.map(({ number }) => number as PrivacySetting).filter(Boolean);
  return JSON.stringify(
    await Promise.all([
      client.listBlockedUsers({}, options),
      client.listMutedUsers({}, options),
      client.getPrivacySettings({}, options),
      ...settings.map((setting) => client.listPrivacyExceptions({ setting }, options)),
    ]),
  );
}
