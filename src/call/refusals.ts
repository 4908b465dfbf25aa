import { Code } from "@connectrpc/connect";
import { codeName } from "./errors.ts";

const codes = new Map([
  [400, Code.InvalidArgument],
  [404, Code.NotFound],
  [408, Code.DeadlineExceeded],
  [413, Code.ResourceExhausted],
  [431, Code.ResourceExhausted],
  [500, Code.Internal],
]);

/** The canonical code of a request that HTTP alone refused: what it asked for is not offered, unless told otherwise. */
export function codeOfStatus(status: number): string {
  return codeName(codes.get(status) ?? Code.Unimplemented);
}
