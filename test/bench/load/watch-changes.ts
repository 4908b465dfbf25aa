import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ChangeService } from "../../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { announce, argument } from "../peers/serve.ts";

// Follows the changes of a service, and does nothing with them.
const [baseUrl, token] = [argument(0), argument(1)];
const changes = createClient(ChangeService, createGrpcTransport({ baseUrl }));
let isFirst = true;
for await (const _ of changes.watchChanges({}, { headers: { authorization: `Bearer ${token}` } })) {
  if (isFirst) announce({});
  isFirst = false;
}
