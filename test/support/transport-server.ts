import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { pino } from "pino";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { UserSchema } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import type { Authenticator } from "../../src/call/auth/authenticator.ts";
import { CallPipeline } from "../../src/call/pipeline.ts";
import { type Service, service } from "../../src/call/service.ts";
import { PrivacyError } from "../../src/domain/errors.ts";
import type { Listener, ListenTls } from "../../src/http/listen.ts";
import { internalLimits, type ListenerLimits, publicLimits } from "../../src/http/listener-limits.ts";
import { openInternalListener, openPublicListener } from "../../src/http/listeners.ts";
import { renderFailure } from "../../src/rest/envelopes.ts";

/** A line of the log. */
type LogLine = Record<string, unknown> & { msg: string };

/** What the fake handlers saw: a test waits for it instead of sleeping. */
interface Seen {
  readonly contexts: HandlerContext[];
  /** Resolves when the next call reaches a handler. */
  next(): Promise<HandlerContext>;
}

/** A listener with fake handlers. */
export interface TestServer {
  readonly listener: Listener;
  readonly lines: LogLine[];
  readonly seen: Seen;
  /** Lets every handler continue that `hold` has stopped. */
  release(): void;
  stop(): Promise<void>;
}

type PublicListenerOptions = Parameters<typeof openPublicListener>[0];

interface TestServerOptions {
  /** Which of the listeners it is; the internal one by default. */
  readonly listener?: "internal" | "public";
  readonly fastPath?: boolean;
  readonly limits?: Partial<ListenerLimits>;
  readonly services?: readonly Service[];
  /** Served besides `services`. */
  readonly moreServices?: readonly Service[];
  readonly ready?: () => boolean;
  readonly tls?: ListenTls;
  readonly rest?: PublicListenerOptions["rest"];
  readonly resources?: PublicListenerOptions["resources"];
}

/** The header of the request that says what a handler does. */
export const doHeader = "x-do";
/** Never to be seen by a client. */
export const secretText = "the password is swordfish";
/** A user id that passes validation. */
export const aUserId = "999e9999-e99b-99d9-a999-999999999999";

/** Opens a listener for the real service definitions with handlers that do what `x-do` asks for. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const lines: LogLine[] = [];
  const log = pino(
    { level: "debug", serializers: { err: (err: Error) => ({ message: err.message }) } },
    { write: (line: string) => void lines.push(JSON.parse(line)) },
  );
  const contexts: HandlerContext[] = [];
  let arrived = Promise.withResolvers<HandlerContext>();
  let held = Promise.withResolvers<void>();
  const act = async (context: HandlerContext) => {
    contexts.push(context);
    arrived.resolve(context);
    arrived = Promise.withResolvers();
    await behaviours(held.promise)[context.requestHeader.get(doHeader) ?? ""]?.(context);
  };
  const graph = service(GraphService, {
    async getUser({ userId }, context) {
      await act(context);
      const size = Number(context.requestHeader.get("x-size") ?? 3);
      return { user: create(UserSchema, { id: userId, userName: "n".repeat(size) }) };
    },
    async upsertUsers(_request, context) {
      await act(context);
      return {};
    },
  });
  const privacyControl = service(PrivacyControlService, {
    async getPrivacySettings(_request, context) {
      await act(context);
      return {};
    },
  });
  const services = [...(options.services ?? [privacyControl, graph]), ...(options.moreServices ?? [])];
  const calls = new CallPipeline({ services, authenticate: fakeAuthenticator, log });
  const common = {
    host: "127.0.0.1",
    port: 0,
    calls,
    renderFailure,
    log,
    tls: options.tls,
    fastPath: options.fastPath ?? true,
  };
  const listener =
    (options.listener ?? "internal") === "internal"
      ? await openInternalListener({ ...common, limits: { ...internalLimits, ...options.limits } })
      : await openPublicListener({
          ...common,
          limits: { ...publicLimits, ...options.limits },
          ready: options.ready ?? (() => true),
          ...(options.resources && { resources: options.resources }),
          corsOrigins: ["https://app.example"],
          rest:
            options.rest ??
            ((request, response) => {
              response.statusCode = 418;
              response.end(`rest ${request.method} ${request.url}`);
            }),
        });
  return {
    listener,
    lines,
    seen: { contexts, next: () => arrived.promise },
    release: () => {
      held.resolve();
      held = Promise.withResolvers();
    },
    stop: () => listener.close(0),
  };
}

const fakeAuthenticator: Authenticator = async ({ requestHeader }) => {
  const token = requestHeader.get("authorization");
  if (token === "slow") await new Promise(setImmediate);
  if (token === "expired") throw new PrivacyError("TOKEN_EXPIRED");
  if (token === "broken") throw new Error(secretText);
  if (token === null) throw new PrivacyError("TOKEN_REQUIRED");
};

function behaviours(held: Promise<void>): Record<string, (context: HandlerContext) => unknown> {
  return {
    hold: () => held,
    pause: async ({ signal }) => {
      await new Promise((resolve) => setTimeout(resolve, 30));
      signal.throwIfAborted();
    },
    "await-abort": async ({ signal }) => {
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
      throw signal.reason;
    },
    "plain-error": () => {
      throw new Error(secretText);
    },
    "throw-string": () => {
      throw secretText;
    },
    "privacy-error": () => {
      throw new PrivacyError("USER_NOT_FOUND");
    },
    "connect-error": () => {
      throw new ConnectError("über % \u{1f600}\n", Code.Aborted, { "x-meta": "one", "x-bytes-bin": "AAEC" }, [
        { desc: ErrorInfoSchema, value: { reason: "TEST", domain: "privacy.nexgate.com" } },
      ]);
    },
    headers: ({ responseHeader, responseTrailer }) => setHeaders(responseHeader, responseTrailer),
    "headers-and-error": ({ responseHeader, responseTrailer }) => {
      setHeaders(responseHeader, responseTrailer);
      throw new PrivacyError("USER_ALREADY_BLOCKED");
    },
    echo: ({ requestHeader, responseHeader }) => {
      responseHeader.set("x-echo", requestHeader.get("x-in") ?? "");
      responseHeader.set("x-echo-bin", requestHeader.get("x-in-bin") ?? "");
    },
    "echo-call": (context) => {
      context.responseHeader.set("x-url", context.url);
      context.responseHeader.set("x-method", context.requestMethod);
      context.responseHeader.set("x-protocol", context.protocolName);
      context.responseHeader.set("x-has-deadline", String(context.timeoutMs() !== undefined));
      context.responseHeader.set("x-header-names", [...context.requestHeader.keys()].join(" "));
    },
    "bad-header": ({ responseHeader }) => responseHeader.set("transfer-encoding", "chunked"),
  };
}

function setHeaders(header: Headers, trailer: Headers): void {
  header.set("x-one", "1");
  header.append("x-many", "a");
  header.append("x-many", "b");
  header.append("set-cookie", "a=1");
  header.append("set-cookie", "b=2");
  header.set("x-data-bin", "3q2+7w");
  trailer.set("x-trailer", "t");
  trailer.set("x-trailer-bin", "AAEC");
}
