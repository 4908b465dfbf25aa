import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { constants, type IncomingHttpHeaders } from "node:http2";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { openSession } from "../../support/raw-http.ts";
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
    send: ({ method, path, headers, body }) =>
      new Promise((resolve) => {
        const endStream = body.length === 0;
        const stream = session.request({ ":method": method, ":path": path, ...headers }, { endStream });
        let head: IncomingHttpHeaders = {};
        let trailers: IncomingHttpHeaders = {};
        let isEnded = false;
        let failure = "";
        stream.on("error", (error) => {
          failure = error.message;
        });
        stream.on("response", (received) => {
          head = received;
        });
        stream.on("trailers", (received) => {
          trailers = received;
        });
        stream.on("end", () => {
          isEnded = true;
        });
        stream.on("close", () => {
          const status = trailers["grpc-status"] ?? head["grpc-status"] ?? "0";
          const isGood = isEnded && Number(head[":status"]) === 200 && status === "0" && stream.rstCode === 0;
          if (isGood) resolve("answered");
          else if (stream.rstCode === constants.NGHTTP2_REFUSED_STREAM || failure.includes("ECONNREFUSED"))
            resolve("refused");
          else resolve({ lost: `status ${head[":status"]}/${status}, reset ${stream.rstCode} ${failure}` });
        });
        stream.resume();
        if (!endStream) stream.end(body);
      }),
    close: () => session.destroy(),
  };
}
