import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import { toConnectError } from "../../../src/call/errors.ts";
import { statusOf } from "../../../src/call/http-status.ts";
import { PrivacyError } from "../../../src/domain/errors.ts";
import { statusName, statusPhrase } from "../../../src/rest/failure.ts";

describe("HTTP statuses", () => {
  const table: [keyof typeof Code, number, string, string][] = [
    ["Canceled", 499, "CLIENT_CLOSED_REQUEST", "Client closed request"],
    ["Unknown", 500, "INTERNAL_SERVER_ERROR", "Internal server error"],
    ["InvalidArgument", 400, "BAD_REQUEST", "Bad request"],
    ["DeadlineExceeded", 504, "GATEWAY_TIMEOUT", "Gateway timeout"],
    ["NotFound", 404, "NOT_FOUND", "Not found"],
    ["AlreadyExists", 400, "BAD_REQUEST", "Bad request"],
    ["PermissionDenied", 403, "FORBIDDEN", "Forbidden"],
    ["ResourceExhausted", 429, "TOO_MANY_REQUESTS", "Too many requests"],
    ["FailedPrecondition", 400, "BAD_REQUEST", "Bad request"],
    ["Aborted", 409, "CONFLICT", "Conflict"],
    ["OutOfRange", 400, "BAD_REQUEST", "Bad request"],
    ["Unimplemented", 501, "NOT_IMPLEMENTED", "Not implemented"],
    ["Internal", 500, "INTERNAL_SERVER_ERROR", "Internal server error"],
    ["Unavailable", 503, "SERVICE_UNAVAILABLE", "Service unavailable"],
    ["DataLoss", 500, "INTERNAL_SERVER_ERROR", "Internal server error"],
    ["Unauthenticated", 401, "UNAUTHORIZED", "Unauthorized"],
  ];
  for (const [code, status, name, phrase] of table)
    it(`${code} is ${status} ${name}`, () => {
      expect(statusOf(new ConnectError("", Code[code]))).to.equal(status);
      expect([statusName(status), statusPhrase(status)]).to.deep.equal([name, phrase]);
    });

  it("cover every code", () => {
    const codes = Object.values(Code).filter((code) => typeof code === "number");
    expect(table.map(([code]) => Code[code])).to.have.members(codes);
  });

  it("distinguish an oversized request from a rate limit", () => {
    expect(statusOf(toConnectError(new PrivacyError("REQUEST_TOO_LARGE")))).to.equal(413);
    expect(statusName(413)).to.equal("CONTENT_TOO_LARGE");
  });

  const others: [number, string][] = [
    [200, "OK"],
    [405, "METHOD_NOT_ALLOWED"],
    [415, "UNSUPPORTED_MEDIA_TYPE"],
  ];
  for (const [status, name] of others)
    it(`${status} is ${name}`, () => expect(statusName(status)).to.equal(name));
});
