import { create, toBinary } from "@bufbuild/protobuf";
import type pg from "pg";
import {
  AccessService,
  Interaction,
  ListHiddenUsersRequestSchema,
  ListHiddenUsersResponseSchema,
} from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { hiddenList } from "../../../src/service/hidden.ts";
import { PageTokens } from "../../../src/service/pages.ts";
import type { Size } from "../data/sizes.ts";
import { specialUsers, userId } from "../data/users.ts";
import type { Comparison } from "../harness/comparison.ts";
import type { Call } from "../load/exchanges.ts";
import type { Setting } from "../setting.ts";
import { grpcContenders } from "./contenders.ts";

const pageSize = 1_000;

/** Pages of the users who are hidden from a viewer with a long list, against a union that reads the list for each page. */
export async function hiddenRows(setting: Setting, client: pg.Client, size: Size): Promise<Comparison[]> {
  const contender = grpcContenders(setting);
  const viewer = userId(specialUsers(size).viewers[2]) as UserId;
  const { rows: keys } = await client.query<{ key: Buffer }>("select key from signing_keys");
  const tokens = new PageTokens(keys[0]?.key ?? Buffer.of());
  const tokenOf = (id: string) => tokens.write(hiddenList, viewer, { createdAt: 0n, id });
  const { rows } = await client.query<{ id: string }>(
    `select blocked_id as id from blocks where blocker_id = $1
     union select blocker_id from blocks where blocked_id = $1
     union select muted_id from mutes where muter_id = $1 order by id`,
    [viewer],
  );
  const ids = rows.map(({ id }) => id);
  const calls = (token: (id: string) => string, nextToken: (id: string) => string) => ({
    path: `/${AccessService.typeName}/ListHiddenUsers`,
    calls: Array.from({ length: Math.floor(ids.length / pageSize) }, (_, page): Call => {
      const [from = "", next] = [ids[page * pageSize], ids[(page + 1) * pageSize]];
      const request = {
        viewerId: viewer,
        interaction: Interaction.VIEW_CONTENT,
        pageSize,
        pageToken: token(from),
      };
      const reply = {
        userIds: ids.slice(page * pageSize, (page + 1) * pageSize),
        nextPageToken: next === undefined ? "" : nextToken(next),
      };
      return {
        request: toBinary(ListHiddenUsersRequestSchema, create(ListHiddenUsersRequestSchema, request)),
        reply: toBinary(ListHiddenUsersResponseSchema, create(ListHiddenUsersResponseSchema, reply)),
      };
    }),
  });
  const shape = { sessions: 4, streams: 2 };
  const { ours, grpcJs } = setting.servers;
  const byUnion = calls(
    (id) => id,
    () => "",
  );
  return [
    {
      id: "hidden-1000",
      title: `ListHiddenUsers, ${pageSize.toLocaleString("en")} of ${ids.length.toLocaleString("en")}`,
      figure: "rate",
      unit: { name: "pages", perCall: 1 },
      ours: contender("ours", ours, calls(tokenOf, tokenOf), shape),
      peers: [
        {
          contender: contender("grpc-js + pg, union without limits", grpcJs, byUnion, shape),
          goal: { atLeast: 5 },
        },
      ],
    },
  ];
}
