import { create, toBinary } from "@bufbuild/protobuf";
import type { sendUnaryData } from "@grpc/grpc-js";
import {
  AccessService,
  CheckAccessResponseSchema,
  Effect,
} from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { emptyPath } from "../empty-service.ts";
import { serveGrpcJs } from "./grpc-js-server.ts";

// The least that grpc-js costs: handlers that read nothing and always send the same few bytes.
const identity = (bytes: Buffer) => bytes;
const method = (path: string) => ({
  path,
  requestStream: false as const,
  responseStream: false as const,
  requestSerialize: identity,
  requestDeserialize: identity,
  responseSerialize: identity,
  responseDeserialize: identity,
});
const always = (reply: Uint8Array) => (_call: unknown, answer: sendUnaryData<Buffer>) =>
  answer(null, Buffer.from(reply));

/** What the check is always answered. */
const allow = create(CheckAccessResponseSchema, { effect: Effect.ALLOW });

await serveGrpcJs(
  { check: method(`/${AccessService.typeName}/CheckAccess`), empty: method(emptyPath) },
  { check: always(toBinary(CheckAccessResponseSchema, allow)), empty: always(new Uint8Array()) },
);
