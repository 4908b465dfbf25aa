import { create, createFileRegistry, setExtension } from "@bufbuild/protobuf";
import type { GenService } from "@bufbuild/protobuf/codegenv2";
import {
  EmptySchema,
  FileDescriptorProtoSchema,
  file_google_protobuf_empty,
  MethodOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { file_nexgate_auth_v1_scope, scope } from "../../gen/nexgate/auth/v1/scope_pb.ts";

const options = create(MethodOptionsSchema);
setExtension(options, scope, "access.read");

const file = create(FileDescriptorProtoSchema, {
  name: "nexgate/bench/v1/empty.proto",
  package: "nexgate.bench.v1",
  syntax: "proto3",
  dependency: [file_google_protobuf_empty.proto.name, file_nexgate_auth_v1_scope.proto.name],
  service: [
    {
      name: "EmptyService",
      method: [
        {
          name: "Empty",
          inputType: `.${EmptySchema.typeName}`,
          outputType: `.${EmptySchema.typeName}`,
          options,
        },
      ],
    },
  ],
});
const known = [file_google_protobuf_empty, file_nexgate_auth_v1_scope];

/** A service of one method without work, which wants a service's token like any other. */
export const emptyService = createFileRegistry(file, (name) =>
  known.find(({ proto }) => proto.name === name),
).getService("nexgate.bench.v1.EmptyService") as GenService<{
  empty: { methodKind: "unary"; input: typeof EmptySchema; output: typeof EmptySchema };
}>;

/** Its path. */
export const emptyPath = `/${emptyService.typeName}/Empty`;
