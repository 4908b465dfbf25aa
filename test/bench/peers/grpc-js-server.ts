import { clone, create, type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import {
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer } from "@grpc/proto-loader";
import { announce } from "./serve.ts";

/** A service as services of grpc-js usually load theirs: by `@grpc/proto-loader`. */
export function loadDefinition({ file, typeName }: DescService): ServiceDefinition {
  const files = [...new Set(withDependencies(file))].map(withoutOptions);
  const bytes = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: files }));
  return loadFileDescriptorSetFromBuffer(Buffer.from(bytes))[typeName] as ServiceDefinition;
}

/** The files that messages are of: those that define options are of no concern here. */
function neededBy({ dependencies, proto }: DescFile): DescFile[] {
  return dependencies.filter((other) => [proto.package, "google.protobuf"].includes(other.proto.package));
}

/** A file after all that it needs. */
function withDependencies(file: DescFile): DescFile[] {
  return [...neededBy(file).flatMap(withDependencies), file];
}

function withoutOptions(file: DescFile): FileDescriptorProto {
  const proto = clone(FileDescriptorProtoSchema, file.proto);
  proto.dependency = neededBy(file).map((needed) => needed.proto.name);
  for (const message of proto.messageType) {
    delete message.options;
    for (const part of [...message.field, ...message.oneofDecl]) delete part.options;
    // The library turns names into camel case only when it reads a definition's source.
    for (const part of message.field) part.name = part.jsonName;
  }
  for (const { method } of proto.service) for (const one of method) delete one.options;
  return proto;
}

/** Serves on a free port and announces it. */
export async function serveGrpcJs(
  definition: ServiceDefinition,
  handlers: UntypedServiceImplementation,
): Promise<void> {
  const server = new Server();
  server.addService(definition, handlers);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
    error ? reject(error) : resolve(port),
  );
  announce({ grpc: await promise });
}
