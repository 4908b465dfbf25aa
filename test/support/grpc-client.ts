import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type CallOptions,
  Client,
  type ClientOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type StatusObject,
} from "@grpc/grpc-js";

const serializer =
  <Desc extends DescMessage>(schema: Desc) =>
  (message: MessageShape<Desc>) =>
    Buffer.from(toBinary(schema, message));
const deserializer =
  <Desc extends DescMessage>(schema: Desc) =>
  (bytes: Uint8Array) =>
    fromBinary(schema, bytes);
const pathOf = (method: DescMethodUnary | DescMethodServerStreaming) =>
  `/${method.parent.typeName}/${method.name}`;

/** A call under way. */
export interface StartedCall<Output extends DescMessage> {
  readonly call: ClientUnaryCall;
  /** Rejects with a `ServiceError`. */
  readonly reply: Promise<MessageShape<Output>>;
  /** The headers of the response. */
  readonly header: Promise<Metadata>;
  readonly status: Promise<StatusObject>;
}

/** A client of `@grpc/grpc-js`, the implementation of gRPC that most Node services use. */
export class GrpcClient {
  readonly #client: Client;

  constructor(url: string, options: ClientOptions = {}) {
    this.#client = new Client(new URL(url).host, credentials.createInsecure(), options);
  }

  /** Starts a unary call. */
  start<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodUnary<Input, Output>,
    message: MessageInitShape<Input>,
    metadata: Record<string, string | Buffer> = {},
    options: CallOptions = {},
  ): StartedCall<Output> {
    const reply = Promise.withResolvers<MessageShape<Output>>();
    const header = Promise.withResolvers<Metadata>();
    const status = Promise.withResolvers<StatusObject>();
    const call = this.#client.makeUnaryRequest(
      pathOf(method),
      serializer(method.input),
      deserializer(method.output),
      create(method.input, message),
      toMetadata(metadata),
      options,
      (error, value) => {
        if (error) reply.reject(error);
        else if (value) reply.resolve(value);
      },
    );
    call.on("metadata", header.resolve);
    call.on("status", status.resolve);
    return { call, reply: reply.promise, header: header.promise, status: status.promise };
  }

  /** Starts a call that answers a stream of messages. */
  watch<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodServerStreaming<Input, Output>,
    message: MessageInitShape<Input>,
  ): ClientReadableStream<MessageShape<Output>> {
    return this.#client.makeServerStreamRequest(
      pathOf(method),
      serializer(method.input),
      deserializer(method.output),
      create(method.input, message),
    );
  }

  /** Closes the client's connections. */
  close(): void {
    this.#client.close();
  }
}

function toMetadata(entries: Record<string, string | Buffer>): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(entries)) metadata.set(name, value);
  return metadata;
}
