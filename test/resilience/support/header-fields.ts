import { once } from "node:events";
import { createServer, type ServerHttp2Stream, type ServerStreamResponseOptions } from "node:http2";
import type { AddressInfo } from "node:net";
import { FrameConnection } from "../../bench/load/frame-connection.ts";
import { clientPreface, flags, frame, frameTypes, requestHead } from "../../bench/load/frames.ts";

// Node's own types do not know of the date.
const noDate: ServerStreamResponseOptions = Object.assign({ endStream: true }, { sendDate: false });
/** `:status: 200`, by the static table of RFC 7541. */
const ok = 0x88;

/**
 * The bytes of header fields as Node writes them to a client that keeps no table of headers: always the same, so that
 * a load finds them in an answer without decoding it.
 */
export async function fieldBytes(
  fields: readonly (readonly [name: string, value: string])[],
): Promise<Buffer[]> {
  const server = createServer();
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    const [name, value] = fields[Number(String(headers[":path"]).slice(1))] as readonly [string, string];
    stream.respond({ ":status": 200, [name]: value }, noDate);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { promise, resolve, reject } = Promise.withResolvers<Buffer[]>();
  const found: Buffer[] = [];
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const connection = new FrameConnection(url, clientPreface({ headerTable: false }), {
    onFrame(type, _flag, _stream, payload) {
      if (type !== frameTypes.headers) return;
      found.push(Buffer.from(payload.subarray(payload.indexOf(ok) + 1)));
      if (found.length === fields.length) resolve(found);
    },
    onEnd: (why) => reject(new Error(why)),
  });
  for (const [i] of fields.entries()) {
    const head = requestHead([
      [":path", `/${i}`],
      [":authority", url.host],
    ]);
    connection.send(frame(frameTypes.headers, flags.endHeaders | flags.endStream, 2 * i + 1, head.first));
  }
  try {
    return await promise;
  } finally {
    connection.destroy();
    server.close();
  }
}
