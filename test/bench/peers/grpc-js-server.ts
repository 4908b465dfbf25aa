import { clone, create, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
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
  const proto = clone(FileDescriptorProtoSchema, file.proto);
  // The options are of no concern here, nor the files that define them: what remains is times and durations.
  const needed = file.dependencies.filter(({ proto }) => proto.package === "google.protobuf");
  proto.dependency = needed.map(({ proto }) => proto.name);
  for (const { field, oneofDecl } of proto.messageType) {
    for (const part of [...field, ...oneofDecl]) delete part.options;
    // The library turns names into camel case only when it reads a definition's source.
    for (const part of field) part.name = part.jsonName;
  }
  for (const { method } of proto.service) for (const one of method) delete one.options;
  const bytes = Buffer.from(
    toBinary(
      FileDescriptorSetSchema,
      create(FileDescriptorSetSchema, { file: [...needed.map((dependency) => dependency.proto), proto] }),
    ),
  );
  return loadFileDescriptorSetFromBuffer(bytes)[typeName] as ServiceDefinition;
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
