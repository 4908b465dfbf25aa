import { type CallOptions, type Client, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import type { TestService } from "./service.ts";

/** A way to call `PrivacyControlService` for a user. */
export interface PrivacyControlClient {
  readonly name: string;
  connect(service: TestService): Client<typeof PrivacyControlService>;
  /** The options of a call for which a user acts. */
  optionsFor(service: TestService, user: string): Promise<CallOptions>;
}

const ofUser = async (service: TestService, user: string) => ({
  headers: { authorization: `Bearer ${await service.userToken(user)}` },
});

/** The clients of both ports, but for REST. */
export const privacyControlClients: readonly PrivacyControlClient[] = [
  {
    name: "gRPC with a service's token",
    connect: ({ internalUrl }) =>
      createClient(PrivacyControlService, createGrpcTransport({ baseUrl: internalUrl })),
    optionsFor: (service, user) => service.acting(user),
  },
  {
    name: "gRPC",
    connect: ({ publicUrl }) =>
      createClient(PrivacyControlService, createGrpcTransport({ baseUrl: publicUrl })),
    optionsFor: ofUser,
  },
  {
    name: "Connect",
    connect: ({ publicUrl }) =>
      createClient(PrivacyControlService, createConnectTransport({ baseUrl: publicUrl, httpVersion: "1.1" })),
    optionsFor: ofUser,
  },
];
