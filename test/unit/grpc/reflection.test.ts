import { create, type DescFile, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { expect } from "chai";
import {
  ServerReflection,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
} from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { file_nexgate_auth_v1_scope } from "../../../gen/nexgate/auth/v1/scope_pb.ts";
import { GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { reflectionServices } from "../../../src/grpc/reflection.ts";

type Question = MessageInitShape<typeof ServerReflectionRequestSchema>["messageRequest"];

const transport = createRouterTransport((router) => {
  for (const { desc, impl } of reflectionServices(
    [GraphService.file, PrivacyControlService.file],
    new AbortController().signal,
  ))
    router.service(desc, impl);
});

async function ask(
  messageRequest: Question,
  desc = ServerReflection,
): Promise<ServerReflectionResponse["messageResponse"]> {
  const request = create(ServerReflectionRequestSchema, {
    host: "h",
    ...(messageRequest && { messageRequest }),
  });
  const questions = async function* () {
    yield request;
  };
  const client = createClient(desc, transport);
  for await (const reply of client.serverReflectionInfo(questions())) {
    expect([reply.validHost, reply.originalRequest?.messageRequest.case]).to.eql(["h", messageRequest?.case]);
    return reply.messageResponse;
  }
  throw new Error("no reply");
}

async function filesOf(question: Question): Promise<string[]> {
  const { case: kind, value } = await ask(question);
  if (kind !== "fileDescriptorResponse") throw new Error(`${kind}`);
  return value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name);
}

function allImports(file: DescFile): Set<string> {
  return new Set([file.proto.name, ...file.dependencies.flatMap((each) => [...allImports(each)])]);
}

describe("reflection", () => {
  const graphFile = "nexgate/privacy/v1/graph_service.proto";
  const resources = "nexgate/privacy/v1/resources.proto";

  it("lists the services of its files, not of their imports", async () => {
    const { case: kind, value } = await ask({ case: "listServices", value: "" });
    if (kind !== "listServicesResponse") throw new Error(`${kind}`);
    expect(value.service.map(({ name }) => name)).to.eql([
      GraphService.typeName,
      PrivacyControlService.typeName,
    ]);
  });

  it("sends a file after all of its imports, each once", async () => {
    const names = await filesOf({ case: "fileByFilename", value: graphFile });
    expect(names).to.have.members([...allImports(GraphService.file)]);
    expect(names.at(-1)).to.equal(graphFile);
  });

  it("sends files as they were compiled", async () => {
    const { value } = await ask({ case: "fileByFilename", value: "nexgate/auth/v1/scope.proto" });
    const bytes = (value as { fileDescriptorProto: Uint8Array[] }).fileDescriptorProto.at(-1);
    expect(Buffer.from(bytes ?? [])).to.eql(
      Buffer.from(toBinary(FileDescriptorProtoSchema, file_nexgate_auth_v1_scope.proto)),
    );
  });

  const symbols: [symbol: string, file: string][] = [
    ["nexgate.privacy.v1.GraphService", graphFile],
    ["nexgate.privacy.v1.GraphService.GetUser", graphFile],
    ["nexgate.privacy.v1.GetUserRequest", graphFile],
    ["nexgate.privacy.v1.GetUserRequest.user_id", graphFile],
    ["nexgate.privacy.v1.User", resources],
    ["nexgate.privacy.v1.Audience", resources],
    ["nexgate.privacy.v1.AUDIENCE_ALL", resources],
    ["nexgate.auth.v1.scope", "nexgate/auth/v1/scope.proto"],
    ["google.api.HttpRule.pattern", "google/api/http.proto"],
    ["google.protobuf.FieldDescriptorProto.Type", "google/protobuf/descriptor.proto"],
    ["google.protobuf.FieldDescriptorProto.TYPE_DOUBLE", "google/protobuf/descriptor.proto"],
  ];
  for (const [symbol, file] of symbols) {
    it(`finds ${symbol}`, async () => {
      expect((await filesOf({ case: "fileContainingSymbol", value: symbol })).at(-1)).to.equal(file);
    });
  }

  it("finds extensions by number, and their numbers", async () => {
    const containingType = "google.protobuf.MethodOptions";
    const all = await ask({ case: "allExtensionNumbersOfType", value: containingType });
    if (all.case !== "allExtensionNumbersResponse") throw new Error(`${all.case}`);
    expect(all.value.baseTypeName).to.equal(containingType);
    expect(all.value.extensionNumber).to.include(72295728);
    const extension = { containingType, extensionNumber: 72295728 };
    const names = await filesOf({ case: "fileContainingExtension", value: extension });
    expect(names.at(-1)).to.equal("google/api/annotations.proto");
    const none = await ask({ case: "allExtensionNumbersOfType", value: "nexgate.privacy.v1.User" });
    expect(none.case).to.equal("allExtensionNumbersResponse");
  });

  const unknown: Question[] = [
    { case: "fileByFilename", value: "no.proto" },
    { case: "fileByFilename", value: "__proto__" },
    { case: "fileContainingSymbol", value: "" },
    { case: "fileContainingSymbol", value: "nexgate.privacy.v1" },
    { case: "fileContainingSymbol", value: "nexgate.privacy.v1.GraphService.No" },
    { case: "fileContainingSymbol", value: "constructor" },
    {
      case: "fileContainingExtension",
      value: { containingType: "nexgate.privacy.v1.User", extensionNumber: 1 },
    },
    { case: "fileContainingExtension", value: { containingType: "no.Type", extensionNumber: -1 } },
    { case: "allExtensionNumbersOfType", value: "no.Type" },
  ];
  for (const question of unknown) {
    it(`answers NOT_FOUND for ${JSON.stringify(question)}`, async () => {
      const { case: kind, value } = await ask(question);
      expect(kind).to.equal("errorResponse");
      expect(value).to.deep.include({ errorCode: 5 });
    });
  }

  it("answers INVALID_ARGUMENT for a request that asks nothing", async () => {
    const { case: kind, value } = await ask(undefined);
    expect(kind).to.equal("errorResponse");
    expect(value).to.deep.include({ errorCode: 3 });
  });

  it("answers the same by v1alpha", async () => {
    for (const question of [
      ...unknown,
      { case: "fileByFilename", value: graphFile },
      { case: "listServices", value: "" },
    ] as const) {
      const [v1, alpha] = await Promise.all([ask(question), ask(question, ServerReflectionAlpha as never)]);
      expect(JSON.stringify(alpha).replaceAll("v1alpha.", "v1.")).to.equal(JSON.stringify(v1));
    }
  });
});
