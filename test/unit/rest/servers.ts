import { createServer, type Server } from "node:http";
import http2, { type ClientHttp2Session, type Http2Server } from "node:http2";
import { type AddressInfo, connect } from "node:net";
import pino from "pino";
import { CallPipeline } from "../../../src/call/pipeline.ts";
import type { Service } from "../../../src/call/service.ts";
import { PrivacyError } from "../../../src/domain/errors.ts";
import { createRestGateway, type RestGateway } from "../../../src/rest/gateway.ts";

/** The clock of every test gateway. */
export const testTime = "2025-12-11T10:30:45Z";

export interface TestGateway {
  readonly gateway: RestGateway;
  /** The lines logged so far. */
  readonly logged: { readonly [name: string]: unknown }[];
  readonly shutdown: AbortController;
}

interface TestGatewayOptions {
  readonly maxBodyBytes?: number;
  readonly pageDeadlineMs?: number;
  /** Called in the turn in which a call gets past authentication. */
  readonly onAdmitted?: () => void;
}

/** A gateway whose authenticator wants `authorization: good`. */
export function testGateway(
  services: readonly Service[],
  { onAdmitted = () => {}, ...options }: TestGatewayOptions = {},
): TestGateway {
  const logged: TestGateway["logged"] = [];
  const log = pino({ base: null }, { write: (line) => logged.push(JSON.parse(line)) });
  const shutdown = new AbortController();
  const calls = new CallPipeline({
    services,
    log,
    shutdownSignal: shutdown.signal,
    authenticate: async ({ requestHeader }) => {
      const token = requestHeader.get("authorization");
      if (token === null) throw new PrivacyError("TOKEN_REQUIRED");
      if (token !== "good") throw new PrivacyError("TOKEN_INVALID");
      onAdmitted();
    },
  });
  const gateway = createRestGateway({
    calls,
    log,
    maxBodyBytes: 1024,
    now: () => Date.parse("2025-12-11T10:30:45.999Z"),
    ...options,
  });
  return { gateway, logged, shutdown };
}

/** The servers of one test, closed by `close`. */
export class Servers {
  readonly #open: (Server | Http2Server)[] = [];
  readonly #sessions: ClientHttp2Session[] = [];

  async http1(gateway: RestGateway): Promise<number> {
    return this.#listen(createServer(gateway.handle));
  }

  async http2(
    gateway: RestGateway,
    options: http2.ClientSessionOptions | ((port: number) => http2.ClientSessionOptions) = {},
  ): Promise<ClientHttp2Session> {
    const server = http2.createServer(gateway.handle);
    server.on("sessionError", () => {});
    const port = await this.#listen(server);
    const session = http2.connect(
      `http://127.0.0.1:${port}`,
      typeof options === "function" ? options(port) : options,
    );
    this.#sessions.push(session);
    return session;
  }

  async close(): Promise<void> {
    for (const session of this.#sessions.splice(0)) session.destroy();
    for (const server of this.#open.splice(0)) {
      server.close();
      if ("closeAllConnections" in server) server.closeAllConnections();
    }
  }

  #listen(server: Server | Http2Server): Promise<number> {
    this.#open.push(server);
    return new Promise((resolve) => {
      server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
    });
  }
}

/** What a raw HTTP/1.1 connection got back until it ended. */
export interface RawAnswer {
  readonly text: string;
  readonly ended: "closed" | "reset";
}

/** Sends bytes as they are over a new connection, and collects what comes until the server ends it. */
export function raw(port: number, bytes: string | Buffer): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    socket.on("error", () => resolve({ text, ended: "reset" }));
    socket.on("close", () => resolve({ text, ended: "closed" }));
    socket.write(bytes);
  });
}

/** An HTTP/2 answer. */
export interface Http2Answer {
  readonly headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader;
  readonly text: string;
  /** The code of the reset, 0 when there was none or no error. */
  readonly code: number;
}

/**
 * Makes an HTTP/2 request and reads its answer until the stream closes. One whose body is `unfinished` closes only
 * when the server resets it.
 */
export function fetch2(
  session: ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  body?: string,
  unfinished = false,
): Promise<Http2Answer> {
  return new Promise((resolve) => {
    const stream = session.request(headers, { endStream: body === undefined });
    let text = "";
    let received: Http2Answer["headers"] = {};
    stream.setEncoding("utf8");
    stream.on("response", (answer) => {
      received = answer;
    });
    stream.on("data", (chunk: string) => {
      text += chunk;
    });
    stream.on("error", () => {});
    stream.on("close", () => resolve({ headers: received, text, code: stream.rstCode }));
    if (body !== undefined) stream.write(body);
    if (body !== undefined && !unfinished) stream.end();
  });
}
