export * from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
export * from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
export * from "../../gen/nexgate/privacy/v1/error_reason_pb.ts";
export * from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
export * from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
export * from "../../gen/nexgate/privacy/v1/resources_pb.ts";
export {
  type CallHeaders,
  callHeaders,
  consistencyTokenOf,
  type ResponseHeaders,
} from "./call-headers.ts";
export { type CallFailure, callFailure, type Retry, type Violation } from "./errors.ts";
