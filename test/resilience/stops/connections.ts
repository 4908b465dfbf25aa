import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { constants } from "node:http2";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { exchange, openSession, trailersOf } from "../../support/raw-http.ts";
import type { Call } from "./calls.ts";

/**
 * How a call ended: answered well, refused in a way that lets it be repeated elsewhere without harm, or lost; of what
 * was lost a few words say how.
 */
export type Outcome = "answered" | "refused" | { readonly lost: string };

/** A connection that is kept open from call to call. */
export interface Connection {
  /** Whether a call can be sent without a new connection, as far as the client knows. */
  isOpen(): boolean;
  send(call: Call): Promise<Outcome>;
  close(): void;
}

/** Opens a connection for one call at a time. It is made by the first one, and again after each that closed it. */
export function openHttp1(url: string, ca: string | undefined): Connection {
  const isSecure = url.startsWith("https:");
  const options = { keepAlive: true, maxSockets: 1, ...(ca === undefined ? {} : { ca }) };
  const agent = isSecure ? new HttpsAgent(options) : new HttpAgent(options);
  const request = isSecure ? requestHttps : requestHttp;
  return {
    isOpen: () =>
      Object.values(agent.freeSockets).some((sockets) => sockets?.some((socket) => !socket.destroyed)),
    send: ({ method, path, headers, body }) =>
      new Promise((resolve) => {
        const lose = (error: NodeJS.ErrnoException) =>
          resolve(error.code === "ECONNREFUSED" ? "refused" : { lost: `${error.code} ${error.message}` });
        const outgoing = request(url + path, { agent, method, headers }, (response: IncomingMessage) => {
          response.resume();
          response.on("error", lose);
          response.on("end", () =>
            resolve(response.statusCode === 200 ? "answered" : { lost: `status ${response.statusCode}` }),
          );
        });
        outgoing.on("error", lose);
        outgoing.end(body);
      }),
    close: () => agent.destroy(),
  };
}

/** Opens an HTTP/2 session. */
export function openHttp2(url: string, ca: string | undefined): Connection {
  const session = openSession(url, ca === undefined ? {} : { ca });
  return {
    isOpen: () => !session.closed && !session.destroyed,
    async send({ method, path, headers, body }) {
      const head = { ":method": method, ":path": path, ...headers };
      const answer = await exchange(session, { headers: head, chunks: body.length === 0 ? [] : [body] });
      const { ended, reset, failure } = answer;
      const httpStatus = answer.headers[":status"];
      const grpcStatus = trailersOf(answer)["grpc-status"] ?? "0";
      if (ended && httpStatus === 200 && grpcStatus === "0" && reset === 0) return "answered";
      if (reset === constants.NGHTTP2_REFUSED_STREAM || failure.includes("ECONNREFUSED")) return "refused";
      return { lost: `status ${httpStatus}/${grpcStatus}, reset ${reset} ${failure}` };
    },
    close: () => session.destroy(),
  };
}
