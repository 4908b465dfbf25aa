import { once } from "node:events";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  type ChangeSchema,
  ChangeService,
  type WatchChangesResponseSchema,
} from "../../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { Audience, PrivacySetting } from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import { DrawnEdges } from "../data/drawn-edges.ts";
import { announce, argument } from "../peers/serve.ts";

// Sends a snapshot of drawn edges as the service sends one, and gives signs of life after it. It has no database: what is
// measured is the replica that reads it.
const edges = new DrawnEdges(Number(argument(0)));
const changesOfMessage = 1_000;
const heartbeatMs = 1_000;
const settings = [PrivacySetting.LAST_SEEN, PrivacySetting.STATUS, PrivacySetting.GROUPS];
const endInSeconds = 86_400n;

type ChangeInit = MessageInitShape<typeof ChangeSchema>;
type Message = MessageInitShape<typeof WatchChangesResponseSchema>;

const changedAt = timestampNow();
const expiresAt = { seconds: changedAt.seconds + endInSeconds, nanos: 0 };

function* snapshot(): Generator<ChangeInit> {
  for (let user = 0; user < edges.users; user++)
    yield { changedAt, change: { case: "userAdded", value: { userId: edges.idOf(user) } } };
  const audience = Audience.CONTACT_BLACKLIST;
  for (let user = 0; user < edges.users; user += 10) {
    const setting = settings[(user / 10) % settings.length] ?? PrivacySetting.STATUS;
    yield { changedAt, change: { case: "setting", value: { userId: edges.idOf(user), setting, audience } } };
  }
  for (let edge = 0; edge < edges.count; edge++) {
    const value = {
      ownerId: edges.idOf(edges.ownerOf(edge)),
      targetId: edges.idOf(edges.targetOf(edge)),
      present: true,
      createdAt: changedAt,
      ...(edges.endOf(edge) < Number.POSITIVE_INFINITY && { expiresAt }),
    };
    yield { changedAt, change: { case: edges.kindOf(edge), value } };
  }
}

async function* watch(_request: unknown, { signal }: HandlerContext): AsyncGenerator<Message> {
  let changes: ChangeInit[] = [];
  for (const change of snapshot()) {
    changes.push(change);
    if (changes.length < changesOfMessage) continue;
    yield { changes, cursor: "cursor" };
    changes = [];
  }
  while (!signal.aborted) {
    yield { changes, cursor: "cursor", complete: true, through: timestampNow() };
    changes = [];
    await pause(heartbeatMs, undefined, { signal }).catch(() => {});
  }
}

const server = createServer(
  connectNodeAdapter({
    routes: (router) =>
      router.service(ChangeService, {
        watchChanges: watch,
        readChanges: () => ({ complete: true, readAt: timestampNow() }),
      }),
  }),
);
server.listen(0, "127.0.0.1");
await once(server, "listening");
announce({ grpc: (server.address() as AddressInfo).port });
