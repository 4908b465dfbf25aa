import { getOption, hasOption } from "@bufbuild/protobuf";
import { expect } from "chai";
import { http } from "../../../../gen/google/api/annotations_pb.ts";
import { AccessService } from "../../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { GraphService } from "../../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { changesSomething } from "../../../../src/call/rate-limits/rate-limits.ts";

describe("the methods", () => {
  for (const service of [PrivacyControlService, GraphService, AccessService])
    for (const method of service.methods)
      it(`say whether they change something: ${method.name}`, () => {
        expect(changesSomething(method)).to.equal(
          !/^(?:Get|List|Find|Preview|Check|BatchCheck|Filter|Explain)[A-Z]/.test(method.name),
        );
        if (!hasOption(method, http)) return;
        expect(changesSomething(method)).to.equal(getOption(method, http).pattern.case !== "get");
      });
});
