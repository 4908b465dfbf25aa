import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type CallOptions,
  type ChannelCredentials,
  type Client,
  type ClientOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  Metadata,
  type MethodDefinition,
  makeGenericClientConstructor,
  type ServiceError,
} from "@grpc/grpc-js";
import { AccessService } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { ChangeService } from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { type CallHeaders, callHeaders } from "./call-headers.ts";

/** Takes what a call answers: an error, or the reply. */
export type ReplyCallback<Reply> = (
  ...answer: [error: ServiceError, reply: undefined] | [error: null, reply: Reply]
) => void;

/** A call with one request and one reply. */
export interface UnaryCall<Request, Reply> {
  (request: Request, callback: ReplyCallback<Reply>): ClientUnaryCall;
  (request: Request, options: CallOptions, callback: ReplyCallback<Reply>): ClientUnaryCall;
  (request: Request, metadata: Metadata, callback: ReplyCallback<Reply>): ClientUnaryCall;
  (
    request: Request,
    metadata: Metadata,
    options: CallOptions,
    callback: ReplyCallback<Reply>,
  ): ClientUnaryCall;
}

/** A call with one request and a stream of replies. */
export interface ServerStreamingCall<Request, Reply> {
  (request: Request, options?: CallOptions): ClientReadableStream<Reply>;
  (request: Request, metadata: Metadata, options?: CallOptions): ClientReadableStream<Reply>;
}

/** A call with a stream of requests and one reply. */
export interface ClientStreamingCall<Request, Reply> {
  (callback: ReplyCallback<Reply>): ClientWritableStream<Request>;
  (options: CallOptions, callback: ReplyCallback<Reply>): ClientWritableStream<Request>;
  (metadata: Metadata, callback: ReplyCallback<Reply>): ClientWritableStream<Request>;
  (metadata: Metadata, options: CallOptions, callback: ReplyCallback<Reply>): ClientWritableStream<Request>;
}

/** The methods of a service. Requests are plain objects with the fields that are set, or messages. */
export type ServiceMethods<Service extends DescService> = {
  [Name in keyof Service["method"]]: Service["method"][Name] extends DescMethodUnary<infer I, infer O>
    ? UnaryCall<MessageInitShape<I>, MessageShape<O>>
    : Service["method"][Name] extends DescMethodServerStreaming<infer I, infer O>
      ? ServerStreamingCall<MessageInitShape<I>, MessageShape<O>>
      : Service["method"][Name] extends DescMethodClientStreaming<infer I, infer O>
        ? ClientStreamingCall<MessageInitShape<I>, MessageShape<O>>
        : never;
};

/** A client of a service. */
export type ServiceClient<Service extends DescService> = Client & ServiceMethods<Service>;

/** The definition of a service for grpc-js: also what `Server.addService` takes, for a double in tests. */
export type Definition<Service extends DescService> = {
  readonly [Name in keyof Service["method"]]: Service["method"][Name] extends {
    input: infer I extends DescMessage;
    output: infer O extends DescMessage;
  }
    ? MethodDefinition<MessageInitShape<I>, MessageInitShape<O>>
    : never;
};

/** Makes the clients of a service. */
export interface ServiceClientConstructor<Service extends DescService> {
  new (address: string, credentials: ChannelCredentials, options?: ClientOptions): ServiceClient<Service>;
  readonly service: Definition<Service>;
  readonly serviceName: string;
}

export const AccessClient: ServiceClientConstructor<typeof AccessService> = clientOf(AccessService);
export type AccessClient = ServiceClient<typeof AccessService>;

export const ChangeClient: ServiceClientConstructor<typeof ChangeService> = clientOf(ChangeService);
export type ChangeClient = ServiceClient<typeof ChangeService>;

export const GraphClient: ServiceClientConstructor<typeof GraphService> = clientOf(GraphService);
export type GraphClient = ServiceClient<typeof GraphService>;

export const PrivacyControlClient: ServiceClientConstructor<typeof PrivacyControlService> =
  clientOf(PrivacyControlService);
export type PrivacyControlClient = ServiceClient<typeof PrivacyControlService>;

/** The metadata of a call. */
export function callMetadata(headers: CallHeaders): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(callHeaders(headers))) metadata.set(name, value);
  return metadata;
}

function clientOf<Service extends DescService>(service: Service): ServiceClientConstructor<Service> {
  const definition = Object.fromEntries(
    service.methods.map((method) => [method.localName, definitionOf(method)]),
  );
  const client: unknown = makeGenericClientConstructor(definition, service.typeName);
  return client as ServiceClientConstructor<Service>;
}

function definitionOf(
  method: DescMethod,
): MethodDefinition<MessageInitShape<DescMessage>, MessageInitShape<DescMessage>> {
  const { input, output, methodKind } = method;
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: methodKind === "client_streaming" || methodKind === "bidi_streaming",
    responseStream: methodKind === "server_streaming" || methodKind === "bidi_streaming",
    requestSerialize: serializerOf(input),
    requestDeserialize: (bytes) => fromBinary(input, bytes),
    responseSerialize: serializerOf(output),
    responseDeserialize: (bytes) => fromBinary(output, bytes),
    originalName: method.name,
  };
}

function serializerOf(schema: DescMessage) {
  return (value: MessageInitShape<DescMessage>) => {
    const { buffer, byteOffset, byteLength } = toBinary(schema, create(schema, value));
    return Buffer.from(buffer, byteOffset, byteLength);
  };
}
