import { type ClientHttp2Session, connect } from "node:http2";

/** A unary call. */
export interface GrpcCall {
  /** `/package.Service/Method`. */
  readonly path: string;
  /** The request message in its frame. */
  readonly body: Buffer;
}

interface GrpcAnswer {
  /** The `grpc-status`; empty when the call ended without one. */
  readonly status: string;
  readonly retryAfter: boolean;
  /** The response message in its frame; empty when there is none. */
  readonly reply: Buffer;
}

/** A client of gRPC that does no more than it must. A call waits while all streams that the service grants are taken. */
export class GrpcClient {
  readonly #sessions: readonly ClientHttp2Session[];
  readonly #authorization: string;
  #turn = 0;

  constructor(url: string, token: string, sessions: number) {
    this.#sessions = Array.from({ length: sessions }, () => connect(url).on("error", () => {}));
    this.#authorization = `Bearer ${token}`;
  }

  /** Makes a call. `onAnswer` is called once, also when the call ends without an answer. */
  call({ path, body }: GrpcCall, onAnswer: (answer: GrpcAnswer) => void): void {
    const session = this.#sessions[this.#turn++ % this.#sessions.length] as ClientHttp2Session;
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      authorization: this.#authorization,
    });
    const chunks: Buffer[] = [];
    let status = "";
    let retryAfter = false;
    const learn = (headers: Readonly<Record<string, unknown>>) => {
      status = String(headers["grpc-status"] ?? status);
      retryAfter ||= /^\d/.test(String(headers["retry-after"] ?? ""));
    };
    stream.on("response", learn);
    stream.on("trailers", learn);
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", () => {});
    stream.on("close", () => onAnswer({ status, retryAfter, reply: Buffer.concat(chunks) }));
    stream.end(body);
  }

  close(): void {
    for (const session of this.#sessions) session.destroy();
  }
}
