import type { DescService } from "@bufbuild/protobuf";
import { ErrorReasonSchema } from "../../../../gen/nexgate/privacy/v1/error_reason_pb.ts";
import { PrivacyControlService } from "../../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { service } from "../../../../src/call/service.ts";
import { describeRoutes } from "../../../../src/rest/openapi/document.ts";
import { testGateway } from "../servers.ts";

/** The compiled routes of a service, and their description as a client reads it. */
export function described(desc: DescService = PrivacyControlService) {
  const { routes } = testGateway([service(desc, {})]).gateway;
  const info = { title: "Test", version: "1.2.3", description: "A test.", license: "Apache-2.0" };
  const document = JSON.parse(JSON.stringify(describeRoutes(routes, info, ErrorReasonSchema)));
  return { routes, document };
}
