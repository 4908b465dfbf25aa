import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Logger } from "pino";
import type { Calls } from "../rpc/calls.ts";
import { grpcUnary } from "../rpc/grpc-unary.ts";
import { answerBroken, answerFailure, answerUnimplemented, type Request, type Response } from "./answers.ts";
import { authorityCheck } from "./authority.ts";
import { connectHandlers, type RpcOptions, serveConnect } from "./connect-handlers.ts";
import { shortenDeadline } from "./deadlines.ts";

/** Answers one request, now or later. */
export type Handle = (request: Request, response: Response) => unknown;

/** What a listener does with what arrives. */
export interface Front {
  /** Answers a request. Never throws or rejects. */
  readonly handle: (request: Request, response: Response) => void;
  /** Takes an HTTP/2 stream that needs no request and response objects, or leaves it and returns false. */
  readonly takeStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean;
  /** Whether a request to a path may take as long as its client likes to be complete. */
  readonly mayStayOpen: (path: string) => boolean;
}

interface FrontOptions {
  readonly calls: Calls;
  readonly rpc: RpcOptions;
  /** Answers whatever is no RPC. */
  readonly otherwise: Handle;
  readonly log: Logger;
  /** Serves unary gRPC without Connect's pipeline; with the same answers, several times faster. */
  readonly fastPath: boolean;
}

/** Puts the calls over Connect, gRPC-Web and gRPC before everything else that a listener answers. */
export function createFront({ calls, rpc, otherwise, log, fastPath }: FrontOptions): Front {
  const handlers = connectHandlers(calls, rpc);
  const serveUnary = fastPath ? grpcUnary(calls, rpc, log) : () => false;
  const isAuthority = authorityCheck();

  const answer = async (request: Request, response: Response): Promise<void> => {
    const path = pathOf(request);
    const handler = handlers.get(path);
    if (handler !== undefined) {
      if (!isAuthority(authorityOf(request))) return answerFailure(response, 400);
      shortenDeadline(request.headers);
      return serveConnect(handler, request, response, log);
    }
    const contentType = request.headers["content-type"] ?? "";
    if (contentType.startsWith("application/grpc")) return answerUnimplemented(response, contentType);
    // RFC 9112, 3.2. HTTP/1.0 knows no Host.
    if (authorityOf(request) === undefined && request.httpVersion !== "1.0")
      return answerFailure(response, 400);
    await otherwise(request, response);
  };

  return {
    handle: (request, response) => {
      answer(request, response).catch((failure) => {
        log.error({ err: failure }, "a request could not be answered");
        answerBroken(response);
      });
    },
    takeStream: (stream, headers) => {
      if (!isAuthority(headers[":authority"] ?? headers.host)) return false;
      shortenDeadline(headers);
      return serveUnary(stream, headers);
    },
    mayStayOpen: (path) => {
      const kind = handlers.get(path)?.method.methodKind;
      return kind === "client_streaming" || kind === "bidi_streaming" || kind === "server_streaming";
    },
  };
}

/** The path of a request, without its query. */
export function pathOf(request: Request): string {
  const url = request.url ?? "";
  const end = url.indexOf("?");
  return end < 0 ? url : url.slice(0, end);
}

function authorityOf(request: Request): string | undefined {
  return "authority" in request ? request.authority : request.headers.host;
}
