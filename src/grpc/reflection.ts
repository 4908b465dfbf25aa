import { type DescFile, toBinary } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import {
  ServerReflection,
  type ServerReflectionRequest,
} from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import {
  ServerReflection as ServerReflectionAlpha,
  type ServerReflectionRequest as ServerReflectionRequestAlpha,
} from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { type Service, service } from "../call/service.ts";
import { takeUntilAborted } from "../call/streams.ts";

// The fields of the two versions are the same.
type Request = ServerReflectionRequest | ServerReflectionRequestAlpha;

/**
 * Server reflection, v1 and v1alpha, of the services in some files; and of the files that they import. Needs
 * no token. A client gets a file together with all of its imports. When `stopping` aborts every stream ends.
 */
export function reflectionServices(files: readonly DescFile[], stopping: AbortSignal): Service[] {
  const index = indexOf(files);
  async function* serverReflectionInfo(requests: AsyncIterable<Request>) {
    for await (const request of takeUntilAborted(requests, stopping)) {
      yield {
        validHost: request.host,
        originalRequest: request as ServerReflectionRequest,
        messageResponse: answer(index, request.messageRequest),
      };
    }
  }
  return [
    service(ServerReflection, { serverReflectionInfo }, { requiresAuth: false }),
    service(
      ServerReflectionAlpha,
      { serverReflectionInfo: serverReflectionInfo as never },
      { requiresAuth: false },
    ),
  ];
}

interface Index {
  readonly serviceNames: readonly string[];
  readonly files: ReadonlyMap<string, DescFile>;
  /** The file of every fully qualified name: types, fields, enum values, services, methods, extensions. */
  readonly symbols: ReadonlyMap<string, DescFile>;
  /** The files of the extensions of a message, by field number. */
  readonly extensions: ReadonlyMap<string, ReadonlyMap<number, DescFile>>;
}

function answer(index: Index, { case: kind, value }: Request["messageRequest"]) {
  switch (kind) {
    case "listServices": {
      const names = index.serviceNames.map((name) => ({ name }));
      return { case: "listServicesResponse", value: { service: names } } as const;
    }
    case "fileByFilename":
      return fileAnswer(index.files.get(value));
    case "fileContainingSymbol":
      return fileAnswer(index.symbols.get(value));
    case "fileContainingExtension":
      return fileAnswer(index.extensions.get(value.containingType)?.get(value.extensionNumber));
    case "allExtensionNumbersOfType": {
      if (!index.symbols.has(value)) return failure(Code.NotFound, "not found");
      const extensionNumber = [...(index.extensions.get(value)?.keys() ?? [])];
      return {
        case: "allExtensionNumbersResponse",
        value: { baseTypeName: value, extensionNumber },
      } as const;
    }
    default:
      return failure(Code.InvalidArgument, "the request asks for nothing that is known");
  }
}

function fileAnswer(file: DescFile | undefined) {
  if (file === undefined) return failure(Code.NotFound, "not found");
  const fileDescriptorProto = Array.from(withImports([file]), ({ proto }) =>
    toBinary(FileDescriptorProtoSchema, proto),
  );
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } } as const;
}

function failure(errorCode: Code, errorMessage: string) {
  return { case: "errorResponse", value: { errorCode, errorMessage } } as const;
}

function indexOf(roots: readonly DescFile[]): Index {
  const files = withImports(roots);
  const symbols = new Map<string, DescFile>();
  const extensions = new Map<string, Map<number, DescFile>>();
  for (const file of files) {
    for (const type of nestedTypes(file)) {
      symbols.set(type.typeName, file);
      for (const name of memberNames(type)) symbols.set(name, file);
      if (type.kind !== "extension") continue;
      const numbers = extensions.get(type.extendee.typeName) ?? new Map<number, DescFile>();
      extensions.set(type.extendee.typeName, numbers.set(type.number, file));
    }
  }
  return {
    serviceNames: roots.flatMap(({ services }) => services.map(({ typeName }) => typeName)),
    files: new Map(Array.from(files, (file) => [file.proto.name, file])),
    symbols,
    extensions,
  };
}

function memberNames(
  type: ReturnType<typeof nestedTypes> extends Iterable<infer Type> ? Type : never,
): string[] {
  switch (type.kind) {
    case "message":
      return [...type.fields, ...type.oneofs].map(({ name }) => `${type.typeName}.${name}`);
    case "service":
      return type.methods.map(({ name }) => `${type.typeName}.${name}`);
    case "enum": {
      // The values of an enum are named beside it, not within it.
      const scope = type.typeName.slice(0, type.typeName.lastIndexOf(".") + 1);
      return type.values.map(({ name }) => `${scope}${name}`);
    }
    case "extension":
      return [];
  }
}

/** The files and everything that they import, imports first. */
function withImports(files: readonly DescFile[], seen = new Set<DescFile>()): Set<DescFile> {
  for (const file of files) {
    if (seen.has(file)) continue;
    withImports(file.dependencies, seen);
    seen.add(file);
  }
  return seen;
}
