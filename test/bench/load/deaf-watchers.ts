import { create, toBinary } from "@bufbuild/protobuf";
import { WatchChangesRequestSchema } from "../../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { FrameConnection } from "../../support/frame-connection.ts";
import {
  clientPreface,
  dataFrames,
  flags,
  frameTypes,
  headerBlock,
  http2Frame,
  lengthPrefixed,
} from "../../support/frames.ts";

/** One HTTP/2 connection carries 100 streams. */
const perConnection = 100;

/**
 * Opens watchers that read everything and look at nothing: what is measured must not be the load. Resolves when each has its
 * first message. Returns what closes them.
 */
export async function openDeafWatchers(url: string, count: number, token: string): Promise<() => void> {
  const request = lengthPrefixed(toBinary(WatchChangesRequestSchema, create(WatchChangesRequestSchema)));
  const head = headerBlock([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", "/nexgate.privacy.v1.ChangeService/WatchChanges"],
    [":authority", new URL(url).host],
    ["content-type", "application/grpc"],
    ["authorization", `Bearer ${token}`],
  ]);
  const open = (streams: number) => {
    const begun = new Set<number>();
    const { promise, resolve, reject } = Promise.withResolvers<FrameConnection>();
    const connection = new FrameConnection(new URL(url), clientPreface(), {
      onFrame: (type, _flag, stream) => {
        if (type === frameTypes.data && begun.size < streams && begun.add(stream).size === streams)
          resolve(connection);
      },
      onEnd: (why) => reject(new Error(why)),
    });
    for (let i = 0; i < streams; i++) {
      const stream = 2 * i + 1;
      connection.send(http2Frame(frameTypes.headers, flags.endHeaders, stream, head));
      connection.sendData(dataFrames(request), stream);
    }
    return promise;
  };
  const sizes = Array.from({ length: Math.ceil(count / perConnection) }, (_, index) =>
    Math.min(perConnection, count - index * perConnection),
  );
  const connections = await Promise.all(sizes.map(open));
  return () => {
    for (const connection of connections) connection.destroy();
  };
}
