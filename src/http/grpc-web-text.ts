import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";

/** The media type of gRPC-Web's text mode, whose bodies are those of its binary mode in base64. */
const textType = /^application\/grpc-web-text(?:\+proto)?(?=;|$)/i;
/** Base64 up to the end of a piece: clients encode and pad the parts of a body one by one. */
const pieces = /[A-Za-z0-9+/]+={0,2}/g;

/** Whether a request is in text mode, by its `Content-Type`. */
export function isWebText(contentType: string | undefined): boolean {
  return textType.test(contentType ?? "");
}

/** Makes a request of the binary mode of one in text mode. Text that is no base64 fails where it is read. */
export function toBinaryRequest(request: UniversalServerRequest): UniversalServerRequest {
  const header = new Headers(request.header);
  header.set("content-type", "application/grpc-web+proto");
  return { ...request, header, body: decoded(request.body as AsyncIterable<Uint8Array>) };
}

/** Makes an answer in text mode of one in binary mode. */
export function toTextResponse(response: UniversalServerResponse): UniversalServerResponse {
  const header = new Headers(response.header);
  header.set("content-type", "application/grpc-web-text+proto");
  return { ...response, header, ...(response.body && { body: encoded(response.body) }) };
}

async function* decoded(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let rest = "";
  for await (const chunk of body) {
    const text = rest + Buffer.from(chunk).toString("latin1");
    const end = text.length - (text.length % 4);
    rest = text.slice(end);
    yield decode(text.slice(0, end));
  }
  if (rest !== "") throw noBase64();
}

function decode(text: string): Buffer {
  const found = text.match(pieces) ?? [];
  if (found.join("") !== text || found.some(({ length }) => length % 4 !== 0)) throw noBase64();
  return Buffer.concat(found.map((piece) => Buffer.from(piece, "base64")));
}

/** Keeps `throw` and `return`, by which Connect notices that the client has disconnected. */
function encoded(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]: () => {
      const chunks = body[Symbol.asyncIterator]();
      return {
        ...(chunks.throw && { throw: chunks.throw.bind(chunks) }),
        ...(chunks.return && { return: chunks.return.bind(chunks) }),
        next: async () => {
          const chunk = await chunks.next();
          return chunk.done ? chunk : { done: false, value: encode(chunk.value) };
        },
      };
    },
  };
}

function encode(bytes: Uint8Array): Uint8Array {
  return Buffer.from(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64"));
}

function noBase64(): ConnectError {
  return new ConnectError("the body is not base64", Code.InvalidArgument);
}
