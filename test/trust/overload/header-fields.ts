import { once } from "node:events";
import { createServer, type ServerHttp2Stream, type ServerStreamResponseOptions } from "node:http2";
import { type AddressInfo, connect } from "node:net";
import {
  clientPreface,
  frame,
  flags as frameFlags,
  frameTypes,
  headBytes,
  requestHead,
} from "../../bench/load/frames.ts";

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
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  try {
    socket.write(clientPreface({ headerTable: false }));
    const found: Buffer[] = [];
    for (const [i] of fields.entries()) {
      const block = requestHead([
        [":path", `/${i}`],
        [":authority", "localhost"],
      ]).first;
      socket.write(frame(frameTypes.headers, frameFlags.endHeaders | frameFlags.endStream, 2 * i + 1, block));
    }
    let data = Buffer.alloc(0);
    for await (const chunk of socket) {
      data = Buffer.concat([data, chunk as Buffer]);
      for (;;) {
        const end = headBytes + (data.length < headBytes ? 0 : data.readUIntBE(0, 3));
        if (data.length < end || data.length < headBytes) break;
        if (data[3] === frameTypes.headers) found.push(data.subarray(data.indexOf(ok, headBytes) + 1, end));
        data = data.subarray(end);
      }
      if (found.length === fields.length) break;
    }
    return found;
  } finally {
    socket.destroy();
    server.close();
  }
}
