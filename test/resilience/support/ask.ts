import type { ClientHttp2Session } from "node:http2";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { lengthPrefixed } from "../../support/frames.ts";
import { exchange, openSession, trailersOf } from "../../support/raw-http.ts";
import type { Instance } from "./instance.ts";

/** Asks a listener for the settings of a user, with any token; resolves to what an answer says of it. */
export interface Asking extends Disposable {
  /** The HTTP status over REST. */
  rest(token: string): Promise<number>;
  /** The gRPC status on the public listener. */
  public(token: string): Promise<number>;
  /** The gRPC status on the internal listener, for the acting user. */
  internal(token: string, actingUser: string): Promise<number>;
}

const path = `/${PrivacyControlService.typeName}/${PrivacyControlService.method.getPrivacySettings.name}`;
const empty = lengthPrefixed(new Uint8Array());

/** Opens the connections for asking an instance. */
export function openAsking({ publicUrl, internalUrl }: Pick<Instance, "publicUrl" | "internalUrl">): Asking {
  const sessions = [openSession(publicUrl), openSession(internalUrl)] as const;
  const grpc = async (session: ClientHttp2Session, headers: Record<string, string>) => {
    const all = { ":path": path, "content-type": "application/grpc", te: "trailers", ...headers };
    const answer = await exchange(session, { headers: all, chunks: [empty] });
    return Number(trailersOf(answer)["grpc-status"] ?? Number.NaN);
  };
  return {
    rest: async (token) => {
      const headers = { ":method": "GET", ":path": "/users/me/privacy", authorization: token };
      return Number((await exchange(sessions[0], { headers })).headers[":status"] ?? Number.NaN);
    },
    public: (authorization) => grpc(sessions[0], { authorization }),
    internal: (authorization, user) => grpc(sessions[1], { authorization, "x-acting-user": user }),
    [Symbol.dispose]() {
      for (const session of sessions) session.destroy();
    },
  };
}
