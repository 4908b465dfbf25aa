import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { repeatedUpserts } from "../../support/repeated-upserts.ts";

/** Makes users known to an instance; `token` is a service's. */
export async function register(internalUrl: string, token: string, ids: readonly string[]): Promise<void> {
  const sessionManager = new Http2SessionManager(internalUrl);
  const interceptors = [repeatedUpserts];
  const transport = createGrpcTransport({ baseUrl: internalUrl, sessionManager, interceptors });
  const headers = { authorization: `Bearer ${token}` };
  await createClient(GraphService, transport).upsertUsers(
    { users: ids.map((id) => ({ id, userName: id })) },
    { headers },
  );
  sessionManager.abort();
}
